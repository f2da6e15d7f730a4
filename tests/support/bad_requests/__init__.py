"""Wrong requests, each with what EC2 says to it. tests/acceptance/test_bad_requests.py sends them.

Where the codes come from: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
and what people quote from EC2 in their issues.
"""
