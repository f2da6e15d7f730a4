// Makes the calls that come as lines {operation, input} on the standard input, with the SDK for
// JavaScript, and answers each with a line: the body that came, and what the SDK made of it.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.cwd() + "/"); // where the SDK is installed
const sdk = require("@aws-sdk/client-ec2");

let answer; // the last one, as it came

const client = new sdk.EC2Client({ maxAttempts: 1 });
client.middlewareStack.add(
  (next) => async (args) => {
    const result = await next(args);
    const chunks = [];
    for await (const chunk of result.response.body) chunks.push(chunk);
    answer = { status: result.response.statusCode, body: Buffer.concat(chunks).toString() };
    result.response.body = Buffer.from(answer.body);
    return result;
  },
  { step: "deserialize", priority: "low" },
);

async function called({ operation, input }) {
  try {
    const { $metadata, ...output } = await client.send(new sdk[`${operation}Command`](input));
    return { output };
  } catch (error) {
    if (!(error instanceof sdk.EC2ServiceException)) throw error;
    return { error: error.name };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { output, error } = await called(JSON.parse(line));
  console.log(JSON.stringify({ ...answer, output, error }));
}
