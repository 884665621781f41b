// Lives a few minutes with a real server (work, strangers, a slow database, an outage) and writes down what Prometheus
// answers to each query of the dashboard. The first argument names the file.
import { writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

import { dashboard, interpolate } from '../lib/dashboard.mjs';
import { Stack } from '../lib/stack.mjs';

const stack = new Stack();
await stack.start();
try {
  await stack.backup();
  const started = Date.now() / 1000;
  const rest = await live();
  const end = Date.now() / 1000;
  const times = { rateInterval: '5s', range: `${Math.round(end - started)}s` };
  const answers = await Promise.all(
    dashboard.panels.map(async (panel) => {
      const ask = async ({ expr, legendFormat, instant }) => {
        const query = interpolate(expr, times);
        const { result } = instant
          ? await stack.ask('query', { query })
          : await stack.ask('query_range', { query, start: started, end, step: '1' });
        return { legendFormat, result };
      };
      return { ...panel, answers: await Promise.all((panel.targets ?? []).map(ask)) };
    }),
  );
  await writeFile(process.argv[2], JSON.stringify(answers));
  await rest();
} finally {
  await stack.stop();
}

/** Returns how to end it, with the last fault still there. */
async function live() {
  const { server, credential, workspace } = stack;
  const { json: agent } = await server.post('/api/v1/agents', credential, { name: 'Ada', workspace_id: workspace });
  const talk = async () => {
    const body = { agent_id: agent.id, workspace_id: workspace };
    const { json: session } = await server.post('/api/v1/agents/sessions', credential, body);
    const messages = `/api/v1/agents/sessions/${session.session_id}/messages`;
    for (const content of ['Hello!', 'What is a bridge?']) await server.post(messages, credential, { content });
    for (let looks = 0; looks < 20; looks += 1) {
      const { json } = await server.get(messages, credential);
      if (json.messages.filter((message) => message.message_type === 'agent').length === 2) break;
      await pause(200);
    }
    if (Math.random() < 0.7) await server.request('DELETE', `/api/v1/agents/sessions/${session.session_id}`, { credential });
    await pause(100 + Math.random() * 200);
  };
  const listen = async () => {
    const body = { agent_id: agent.id, workspace_id: workspace };
    const { json: session } = await server.post('/api/v1/agents/sessions', credential, body);
    // The deadline is what ends it.
    await server.get(`/api/v1/agents/sessions/${session.session_id}/events`, credential, { deadline: 20_000 });
  };
  const stops = [
    stack.load(4, talk),
    stack.load(3, listen),
    stack.load(1, async () => {
      await stack.list();
      await pause(50 + Math.random() * 100);
    }),
    stack.load(1, async () => {
      await stack.stranger();
      await server.get('/no/such/page');
      await pause(500);
    }),
  ];
  await pause(50_000);
  // A slow database, then none.
  stack.database.proxy.delay(150);
  await pause(20_000);
  stack.database.proxy.restore();
  await pause(25_000);
  stack.database.proxy.refuse();
  await pause(12_000);
  stack.database.proxy.restore();
  await pause(40_000);
  // Somebody tries tokens, and an alert fires.
  stops.push(stack.load(4, () => stack.stranger()));
  await pause(25_000);
  return () => Promise.all(stops.map((stop) => stop()));
}
