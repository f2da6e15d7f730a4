"""Accounts, as the operator makes them on the command line."""

from support.server import Server, keys_in


def test_the_key_that_the_operator_is_told_opens_the_new_account(record_server: Server) -> None:
    keys = keys_in(record_server.openami("account", "create", "operators").stdout)
    record_server.keys["operators"] = keys
    told = record_server.client("sts", account="operators").get_caller_identity()
    assert told["Account"] == keys.account
