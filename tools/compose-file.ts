import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

const ROOT = join(import.meta.dirname, '..');

interface Image {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}
interface Values {
  readonly image: Image;
  readonly superset: { image: Image };
  readonly jaeger: { image: Image };
  readonly temporal: { production: { image: Image; adminTools: { image: Image }; ui: { image: Image } } };
}

/** Returns the images of compose.yaml by service, as far as another file determines them. */
function images(): Record<string, string> {
  const values = parse(readFileSync(join(ROOT, 'helm/ooni-pipeline/values.yaml'), 'utf8')) as Values;
  const { appVersion } = parse(readFileSync(join(ROOT, 'helm/ooni-pipeline/Chart.yaml'), 'utf8')) as {
    appVersion: string;
  };
  const reference = ({ registry, repository, tag }: Image) => `${registry}/${repository}:${tag || appVersion}`;
  const { production } = values.temporal;
  return {
    'temporal-schema': reference(production.adminTools.image),
    temporal: reference(production.image),
    'temporal-namespace': reference(production.adminTools.image),
    'temporal-ui': reference(production.ui.image),
    'superset-provision': reference(values.superset.image),
    superset: reference(values.superset.image),
    jaeger: reference(values.jaeger.image),
    worker: reference(values.image),
  };
}

/** Returns compose.yaml with the images of the chart; the rest of the file is written by hand. Throws if a service has no line `image:`. */
export function composeFile(): string {
  let text = readFileSync(join(ROOT, 'compose.yaml'), 'utf8');
  for (const [service, image] of Object.entries(images())) {
    const line = new RegExp(`(\\n  ${service}:\\n(?:    .*\\n|\\n)*?    image: ).*`);
    if (!line.test(text)) throw new Error(`compose.yaml has no image of the service ${service}`);
    text = text.replace(line, `$1${image}`);
  }
  return text;
}
