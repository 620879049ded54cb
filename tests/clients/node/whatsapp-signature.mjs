// Whether whatsapp-api-js takes a signature: node whatsapp-signature.mjs SECRET BODY SIGNATURE
import { WhatsAppAPI } from "whatsapp-api-js";

const [secret, body, signature] = process.argv.slice(2);
const api = new WhatsAppAPI({ token: "none", appSecret: secret, v: "v25.0" });
console.log(await api.verifyRequestSignature(body, signature));
