// A small OpenID Connect provider that lets in whoever is clicked on.
import { createHash, createSign, generateKeyPairSync, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export const clientId = "backfleet";

interface Grant {
  name: string;
  nonce: string;
  challenge: string;
}

const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Starts it for people, each with their groups. */
export async function provider(people: Record<string, string[]>): Promise<{ issuer: string; server: Server }> {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const grants = new Map<string, Grant>();
  let issuer = "";
  const idToken = ({ name, nonce }: Grant): string => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: issuer, sub: `sub-${name}`, aud: clientId, iat: now, exp: now + 300, nonce, preferred_username: name, groups: people[name] };
    const text = `${base64({ alg: "RS256", kid: "one", typ: "JWT" })}.${base64(claims)}`;
    return `${text}.${createSign("RSA-SHA256").update(text).sign(privateKey, "base64url")}`;
  };
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", issuer);
    const json = (status: number, body: object) => response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
    switch (url.pathname) {
      case "/.well-known/openid-configuration":
        return json(200, {
          issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/keys`,
          response_types_supported: ["code"], subject_types_supported: ["public"], id_token_signing_alg_values_supported: ["RS256"], code_challenge_methods_supported: ["S256"],
        });
      case "/keys":
        return json(200, { keys: [{ ...publicKey.export({ format: "jwk" }), kid: "one", alg: "RS256", use: "sig" }] });
      case "/authorize": {
        const asked = (name: string) => url.searchParams.get(name) ?? "";
        const links = Object.keys(people).map((name) => {
          const code = randomUUID();
          grants.set(code, { name, nonce: asked("nonce"), challenge: asked("code_challenge") });
          const back = new URL(asked("redirect_uri"));
          back.searchParams.set("code", code);
          back.searchParams.set("state", asked("state"));
          return `<a href="${back.href.replaceAll("&", "&amp;")}">${name}</a>`;
        });
        return response.writeHead(200, { "Content-Type": "text/html" }).end(`<h1>Who are you?</h1>${links.join(" ")}`);
      }
      case "/token": {
        let body = "";
        request.setEncoding("utf8").on("data", (part: string) => (body += part)).on("end", () => {
          const form = new URLSearchParams(body);
          const code = form.get("code") ?? "";
          const grant = grants.get(code);
          grants.delete(code); // once only
          const proof = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
          if (!grant || proof !== grant.challenge) return json(400, { error: "invalid_grant" });
          return json(200, { access_token: randomUUID(), token_type: "Bearer", expires_in: 300, id_token: idToken(grant) });
        });
        return undefined;
      }
      default:
        return response.writeHead(404).end();
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { issuer, server };
}
