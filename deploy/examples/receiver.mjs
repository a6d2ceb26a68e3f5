// Checks and keeps notifications: WEBHOOK_SECRETS="whsec_... whsec_..." node receiver.mjs PORT
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const keys = process.env.WEBHOOK_SECRETS.split(" ").map((text) => Buffer.from(text.slice("whsec_".length), "base64"));

function isSigned(headers, body) {
  const [id, sentAt, signatures] = ["id", "timestamp", "signature"].map((name) => headers[`webhook-${name}`] ?? "");
  const fits = keys.flatMap((key) => {
    // The body as received, byte for byte.
    const sign = createHmac("sha256", key).update(`${id}.${sentAt}.`).update(body).digest("base64");
    return signatures.split(" ").map((given) => isSame(`v1,${sign}`, given));
  });
  return fits.includes(true) && !id.includes(".") && Math.abs(Date.now() / 1000 - sentAt) <= 300;
}

function isSame(one, other) {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const good = isSigned(request.headers, body);
  if (good) console.log(body.toString()); // Keep it under its webhook-id before you answer: it may
  response.writeHead(good ? 204 : 401).end(); // come again, and then counts only once.
}).listen(Number(process.argv[2]), "127.0.0.1");
