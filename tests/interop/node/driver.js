// Drives the unmodified official Node client: one step a line in, one JSON object a line out.
//
// A step is "verb key=value …" with URL-encoded values. The answer is {"ok":true,…} or
// {"ok":false,"code":40100,"message":"…"} as the client's caller got it. The process ends when its input does.
'use strict';

const readline = require('node:readline');
const { setTimeout: sleep } = require('node:timers/promises');
const rocketmq = require('rocketmq-client-nodejs');
const definitions = require('rocketmq-client-nodejs/proto/apache/rocketmq/v2/definition_pb');

const { ConsumeResult, FilterExpression, LitePushConsumerBuilder, Producer, PushConsumer, SimpleConsumer } = rocketmq;
const { FilterType, TransactionResolution } = definitions;
const RESOLUTIONS = {
  commit: TransactionResolution.COMMIT,
  rollback: TransactionResolution.ROLLBACK,
  unknown: TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED,
};

const producers = new Map();
const transactors = new Map();
const consumers = new Map();
const views = new Map();

function options(step) {
  const made = { endpoints: step.endpoint, namespace: '', requestTimeout: 10_000 };
  if (step.user !== undefined) {
    made.sessionCredentials = { accessKey: step.user, accessSecret: step.secret };
  }
  return made;
}

async function started(client) {
  try {
    await client.startup();
    return client;
  } catch (error) {
    client.shutdown().catch(() => {});
    throw error;
  }
}

async function producer(step) {
  const key = [step.endpoint, step.user, step.secret, step.topic].join('|');
  if (!producers.has(key)) {
    producers.set(key, await started(new Producer({ ...options(step), topics: [step.topic], maxAttempts: 1 })));
  }
  return producers.get(key);
}

function* messages(step) {
  for (let number = 0; number < Number(step.count ?? 1); number++) {
    const message = { topic: step.topic, body: Buffer.from(`${step.body ?? 'message'}-${number}`) };
    if (step.tag !== undefined) message.tag = step.tag;
    if (step.key !== undefined) message.keys = [step.key];
    if (step.fifo !== undefined) message.messageGroup = step.fifo;
    if (step.delay !== undefined) message.delay = Number(step.delay);
    if (step.priority !== undefined) message.priority = Number(step.priority);
    if (step.lite !== undefined) message.liteTopic = step.lite;
    const properties = Object.entries(step).filter(([name]) => name.startsWith('property.'));
    message.properties = new Map(properties.map(([name, value]) => [name.slice(9), value.replaceAll('{}', number)]));
    yield message;
  }
}

function receipt(sent) {
  return { id: sent.messageId, transaction: sent.transactionId, offset: sent.offset, handle: sent.recallHandle };
}

async function send(step) {
  const client = await producer(step);
  const results = [];
  for (const message of messages(step)) {
    results.push(receipt(await client.send(message)));
  }
  return { results };
}

async function recall(step) {
  const done = await (await producer(step)).recallMessage(step.topic, step.recall);
  return { id: done.messageId };
}

async function transact(step) {
  let state = transactors.get(step.handle);
  if (!state) {
    state = { checks: [] };
    const checker = {
      async check(view) {
        state.checks.push(describe(view));
        return RESOLUTIONS[state.check];
      },
    };
    state.client = await started(new Producer({ ...options(step), topics: [step.topic], checker }));
    transactors.set(step.handle, state);
  }
  state.check = step.check ?? 'unknown';
  const [message] = messages(step);
  const transaction = state.client.beginTransaction();
  const sent = await state.client.send(message, transaction);
  if (step.execute === 'commit') await transaction.commit();
  if (step.execute === 'rollback') await transaction.rollback();
  return receipt(sent);
}

function describe(view) {
  return {
    body: view.body.toString(), topic: view.topic, tag: view.tag ?? '', keys: view.keys, messageId: view.messageId,
    fifo: view.messageGroup ?? '', lite: view.liteTopic ?? '', priority: view.priority ?? null,
    attempt: view.deliveryAttempt, offset: view.offset, corrupted: view.corrupted, received: Date.now(),
    born: view.bornTimestamp?.getTime(), properties: Object.fromEntries(view.properties),
  };
}

function filter(step) {
  return new FilterExpression(step.expression ?? '*', step.language === 'SQL92' ? FilterType.SQL : FilterType.TAG);
}

async function open(step) {
  const subscriptions = new Map([[step.topic, filter(step)]]);
  const made = { ...options(step), consumerGroup: step.group, subscriptions, awaitDuration: Number(step.await ?? 5000) };
  consumers.set(step.handle, { client: await started(new SimpleConsumer(made)) });
  return {};
}

async function receive(step) {
  const { client } = consumers.get(step.handle);
  const found = await client.receive(Number(step.count ?? 16), Number(step.seconds ?? 30) * 1000);
  const shown = [];
  for (const view of found) {
    const id = `v${views.size}`;
    views.set(id, view);
    shown.push({ ...describe(view), id });
  }
  return { messages: shown };
}

async function ack(step) {
  await consumers.get(step.handle).client.ack(views.get(step.id));
  return {};
}

async function change(step) {
  await consumers.get(step.handle).client.changeInvisibleDuration(views.get(step.id), Number(step.seconds) * 1000);
  return {};
}

function listener(step, seen) {
  return {
    async consume(view) {
      seen.push({ ...describe(view) });
      if (step.work) await sleep(Number(step.work));
      return view.deliveryAttempt > Number(step.failures ?? 0) ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE;
    },
  };
}

async function push(step) {
  const seen = [];
  const subscriptions = new Map([[step.topic, filter(step)]]);
  const made = { ...options(step), consumerGroup: step.group, subscriptions, messageListener: listener(step, seen) };
  consumers.set(step.handle, { client: await started(new PushConsumer(made)), seen });
  return {};
}

async function lite(step) {
  const seen = [];
  const builder = new LitePushConsumerBuilder().setClientConfiguration(options(step)).bindTopic(step.topic)
    .setConsumerGroup(step.group).setMessageListener(listener(step, seen));
  const client = await builder.build();
  consumers.set(step.handle, { client, seen });
  for (const name of (step.lites ?? '').split(',').filter(Boolean)) {
    await client.subscribeLite(name);
  }
  return {};
}

async function unsubscribeLite(step) {
  await consumers.get(step.handle).client.unsubscribeLite(step.lite);
  return {};
}

async function awaited(list, step) {
  const end = Date.now() + Number(step.timeout ?? 45_000);
  while (list.length < Number(step.count ?? 1) && Date.now() < end) {
    await sleep(20);
  }
  return [...list];
}

async function stop(step) {
  const { client } = consumers.get(step.handle);
  consumers.delete(step.handle);
  // A push consumer ends only after its open receive, which would hold up all further steps.
  const ended = (client.shutdown ?? client.close).call(client);
  if (client instanceof SimpleConsumer) await ended;
  else ended.catch(() => {});
  return {};
}

async function close() {
  const ending = [...producers.values(), ...[...transactors.values()].map(state => state.client)];
  producers.clear();
  transactors.clear();
  for (const handle of [...consumers.keys()]) await stop({ handle });
  await Promise.allSettled(ending.map(client => client.shutdown()));
  return {};
}

const VERBS = {
  send, recall, transact, open, receive, ack, change, push, lite, unsubscribeLite, stop, close,
  checked: async step => ({ messages: await awaited(transactors.get(step.handle).checks, step) }),
  pushed: async step => ({ messages: await awaited(consumers.get(step.handle).seen, step) }),
};

function parse(line) {
  const [verb, ...words] = line.trim().split(/\s+/);
  const step = Object.fromEntries(words.map(word => {
    const at = word.indexOf('=');
    return [word.slice(0, at), decodeURIComponent(word.slice(at + 1))];
  }));
  return [verb, step];
}

// An error of this client has the server's code and text in itself or in one of its causes, which Node shows with it.
function failure(error) {
  let code = -1;
  const texts = [];
  for (let cause = error; cause; cause = cause.cause) {
    if (Number.isInteger(cause.code)) code = cause.code;
    texts.push(cause.message);
  }
  return { ok: false, code, error: error.name, message: texts.join(' / ') };
}

async function run(line) {
  const [verb, step] = parse(line);
  if (!VERBS[verb]) return { ok: false, error: 'IllegalArgumentException', message: `unknown step ${verb}` };
  try {
    return { ok: true, ...await VERBS[verb](step) };
  } catch (error) {
    return failure(error);
  }
}

// A client that is still ending when its server goes rejects a promise of its own, which would end this process.
process.on('unhandledRejection', reason => console.error('not handled by the client:', reason));

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await run(line))}\n`);
  }
  process.exit(0);
}

main();
