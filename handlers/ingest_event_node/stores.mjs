// The two stores every event is written to. Their clients are made at import.

import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { STORE_CONFIG } from './api.mjs';

const { EVENTS_TABLE, RAW_EVENTS_BUCKET } = process.env;
const dynamodb = new DynamoDBClient(STORE_CONFIG);
const s3 = new S3Client(STORE_CONFIG);

export const putItem = ({ attributes }) =>
  dynamodb.send(
    new PutItemCommand({
      TableName: EVENTS_TABLE,
      Item: attributes,
      ConditionExpression: 'attribute_not_exists(eventId)',
    }),
  );

export const putObject = ({ body, rawKey }) =>
  s3.send(
    new PutObjectCommand({ Bucket: RAW_EVENTS_BUCKET, Key: rawKey, Body: body, ContentType: 'application/json' }),
  );
