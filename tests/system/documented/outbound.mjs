// The document's example of a receiver's check, word for word; only its import stands here too.
import crypto from "crypto";

function verifySignature(body, signature, secret) {
const expected = crypto
.createHmac("sha256", secret)
.update(body)
.digest("hex");
return crypto.timingSafeEqual(
Buffer.from(signature),
Buffer.from(expected)
);
}

// What a web framework has made of the request.
const deliveries = JSON.parse(process.env.ORRERY_DELIVERIES);
for (const { body, headers, secret } of deliveries) {
  const req = { body: JSON.parse(body), headers };
  const isValid = verifySignature(
JSON.stringify(req.body),
req.headers["x-webhook-signature"],
secret
);
  console.log(isValid);
}
