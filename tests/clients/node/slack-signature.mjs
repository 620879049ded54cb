// Tells which of the requests in the first argument Bolt takes for Slack's.
import bolt from "@slack/bolt";

const { secret, cases } = JSON.parse(process.argv[2]);
const verdicts = cases.map(({ body, headers }) =>
  bolt.isValidSlackRequest({
    signingSecret: secret,
    body,
    headers: {
      "x-slack-signature": headers["X-Slack-Signature"],
      "x-slack-request-timestamp": Number(headers["X-Slack-Request-Timestamp"]),
    },
  }),
);
console.log(JSON.stringify(verdicts));
