// What is in deploy/ and docs/, read.
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const at = (...parts) => path.join(ROOT, ...parts);
export const text = (file) => readFileSync(at(file), 'utf8');

/** A YAML document as Docker and Kubernetes read them: with merged keys, and 0440 in octal. */
export const yaml = (file) => parse(text(file), { merge: true, version: '1.1' });

/** Kubernetes' objects by kind and name, such as `Deployment/parlant-server`. */
export const objects = new Map(
  readdirSync(at('deploy/kubernetes'))
    .flatMap((file) => parseAllDocuments(text(`deploy/kubernetes/${file}`), { version: '1.1' }).map((document) => document.toJS()))
    .filter(({ kind }) => kind !== 'Kustomization')
    .map((object) => [`${object.kind}/${object.metadata.name}`, object]),
);

/** The pods' templates, by the name of what makes them. */
export const pods = new Map(
  [...objects.values()]
    .map(({ metadata, spec }) => [metadata.name, (spec?.jobTemplate?.spec ?? spec)?.template?.spec])
    .filter(([, pod]) => pod?.containers),
);

export const compose = yaml('deploy/compose.yaml');

/** What configures our own programs, by where that is: other people's have settings of their own. */
const OURS = /^parlant-(bridge|backup):/;
export const environment = Object.fromEntries([
  ...Object.entries(compose.services)
    .filter(([, { image }]) => OURS.test(image))
    .map(([name, service]) => [`compose: ${name}`, service.environment ?? {}]),
  ...[...pods]
    .filter(([, { containers }]) => OURS.test(containers[0].image))
    .map(([name, { containers }]) => [
      `Kubernetes: ${name}`,
      Object.fromEntries((containers[0].env ?? []).map(({ name, value }) => [name, value])),
    ]),
]);

/** Instructions of a Dockerfile, `[name, rest]`, continued lines joined. */
export const instructions = (file) =>
  text(file)
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter(Boolean)
    .map((line) => line.match(/^(\w+)\s+(.*)$/).slice(1));

/** A length of time as the settings and Docker write it, in seconds. */
export const seconds = (length) => {
  const [, number, unit] = length.match(/^(\d+)(s|m|h)?$/);
  return Number(number) * { s: 1, m: 60, h: 3600 }[unit ?? 's'];
};
