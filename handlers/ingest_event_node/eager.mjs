// ingest-event on Node.js, eager: everything is made ready in the Init phase, as in eager.py of ingest_event.

import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { GetParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import { ingest, isWarmingPing, QUEUE_CONFIG, readPlan, readSettings, STORE_CONFIG } from './api.mjs';
import { putItem, putObject } from './stores.mjs';

const sqs = new SQSClient(QUEUE_CONFIG);
const ssm = new SSMClient(STORE_CONFIG);
const send = (text) => sqs.send(new SendMessageCommand({ QueueUrl: process.env.RETRY_QUEUE_URL, MessageBody: text }));
const getParameter = async (Name) => (await ssm.send(new GetParameterCommand({ Name }))).Parameter.Value;

const plan = await readPlan();
const settings = await readSettings(getParameter, process.env.SETTINGS_PARAMETER);

export const handler = async (event) => {
  if (isWarmingPing(event)) return { warmed: true };
  return ingest(event, () => plan, () => settings, { putItem, putObject, send });
};
