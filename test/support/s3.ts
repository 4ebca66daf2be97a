import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CreateBucketCommand, PutBucketPolicyCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { supervise } from '../../local/process.ts';
import { programPath } from '../../local/programs.ts';
import { freePort } from '../../pipeline/free-port.ts';

export const S3_REGION = 'eu-central-1';
export const S3_CREDENTIALS = { accessKeyId: 'test-access', secretAccessKey: 'test-secret-key' };

export interface S3Server {
  readonly endpoint: string;
  readonly port: number;
  /** Creates a bucket. Any client may read a public one. */
  createBucket(name: string, access: 'public' | 'private'): Promise<void>;
  put(bucket: string, key: string, body: Uint8Array | string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a real S3 server (versitygw over a directory). */
export async function startS3(dir: string): Promise<S3Server> {
  const [root, sidecar] = [join(dir, 'objects'), join(dir, 'attributes')];
  mkdirSync(root, { recursive: true });
  mkdirSync(sidecar, { recursive: true });
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const server = await supervise({
    name: 'versitygw',
    command: programPath('versitygw'),
    args: [
      '--port',
      `127.0.0.1:${port}`,
      '--region',
      S3_REGION,
      '--keep-alive',
      '--quiet',
      'posix',
      '--sidecar',
      sidecar,
      root,
    ],
    env: { ROOT_ACCESS_KEY: S3_CREDENTIALS.accessKeyId, ROOT_SECRET_KEY: S3_CREDENTIALS.secretAccessKey },
    dir,
  });
  const client = new S3Client({ endpoint, region: S3_REGION, forcePathStyle: true, credentials: S3_CREDENTIALS });
  try {
    await server.waitFor(() =>
      fetch(endpoint).then(
        answer => answer.status > 0,
        () => false,
      ),
    );
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    endpoint,
    port,
    createBucket: async (name, access) => {
      await client.send(new CreateBucketCommand({ Bucket: name }));
      if (access === 'private') return;
      const resources = [`arn:aws:s3:::${name}`, `arn:aws:s3:::${name}/*`];
      const statement = {
        Effect: 'Allow',
        Principal: '*',
        Action: ['s3:GetObject', 's3:ListBucket'],
        Resource: resources,
      };
      await client.send(
        new PutBucketPolicyCommand({
          Bucket: name,
          Policy: JSON.stringify({ Version: '2012-10-17', Statement: [statement] }),
        }),
      );
    },
    put: async (bucket, key, body) => {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body }));
    },
    stop: async () => {
      client.destroy();
      await server.stop();
    },
  };
}
