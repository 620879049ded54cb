// The official verifiers for Node: a line for each delivery that both take.

import { Webhook as Standard } from "standardwebhooks";
import { Webhook as Svix } from "svix";

for (const { body, headers, secret } of JSON.parse(process.env.ORRERY_DELIVERIES)) {
  for (const verifier of [new Standard(secret), new Svix(secret)]) verifier.verify(body, headers);
  console.log("verified");
}
