import http from 'node:http';
import https from 'node:https';

/**
 * One request over a connection of its own: a pooled one could belong to a server that has been stopped since.
 * `json` is the parsed body, or undefined where the body is not JSON.
 */
export function request(base, method, path, { headers = {}, json, body, deadline = 15_000, localAddress } = {}) {
  const payload = json === undefined ? body : JSON.stringify(json);
  const started = Date.now();
  const url = new URL(path, base);
  return new Promise((resolve, reject) => {
    const sent = (url.protocol === 'https:' ? https : http).request(
      url,
      {
        method,
        localAddress,
        agent: false,
        headers: {
          ...(json === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...(payload === undefined ? {} : { 'Content-Length': Buffer.byteLength(payload) }),
          ...headers,
        },
        signal: AbortSignal.timeout(deadline),
      },
      (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.once('error', reject);
        response.once('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          let parsed;
          try {
            parsed = JSON.parse(text);
          } catch {
            // Not every answer is JSON.
          }
          resolve({
            status: response.statusCode,
            headers: response.headers,
            text,
            json: parsed,
            milliseconds: Date.now() - started,
          });
        });
      },
    );
    sent.once('error', reject);
    sent.end(payload);
  });
}
