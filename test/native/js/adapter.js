// The adapter for @nats-io/kv: it carries out the commands of test/native/README.md.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { JetStreamApiError, JetStreamApiCodes, jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";

const nc = await connect({ servers: process.argv[2] });
const buckets = new Kvm(jetstream(nc));
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const value = (text) => new Uint8Array(Buffer.from(text, "hex"));
const operations = { PUT: "put", DEL: "delete", PURGE: "purge" };
const noStream = 10059;

// A Cannot is thrown for what the client has no method or option for.
class Cannot extends Error {}

let kv, watch, updates, pending, marked;

const entry = (e) => (e && e.operation === "PUT" ? ["ok", e.revision, hex(e.value)] : ["missing"]);

// update throws a conflict as put does.
const update = (key, bytes, revision) => kv.update(key, bytes, Number(revision));

async function client() {
	const file = new URL("node_modules/@nats-io/kv/package.json", import.meta.url);
	return ["ok", "@nats-io/kv", JSON.parse(await readFile(file)).version];
}

async function create(bucket, history, ttl, markers) {
	const options = { history: Number(history), ttl: Number(ttl) };
	if (markers !== "0") options.markerTTL = Number(markers);
	kv = await buckets.create(bucket, options);
	return ["ok"];
}

async function bind(bucket) {
	kv = await buckets.open(bucket);
	await kv.status(); // open alone asks for nothing
	return ["ok"];
}

async function status() {
	const { history, ttl } = await kv.status();
	return ["ok", history, ttl];
}

async function put(key, text, ttl) {
	if (ttl !== "0") throw new Cannot("put takes no time to live");
	return ["ok", await kv.put(key, value(text))];
}

async function createKey(key, text, ttl) {
	return ["ok", await kv.create(key, value(text), ttl === "0" ? undefined : `${ttl}ms`)];
}

async function remove(key, revision) {
	await kv.delete(key, revision === "0" ? {} : { previousSeq: Number(revision) });
	return ["ok"];
}

async function purge(key, ttl) {
	await kv.purge(key, ttl === "0" ? {} : { ttl: `${ttl}ms` });
	return ["ok"];
}

async function keys() {
	const found = ["ok"];
	for await (const key of await kv.keys()) found.push(key);
	return found;
}

async function history(key) {
	const found = ["ok"];
	for await (const e of await kv.history({ key })) {
		found.push(`${operations[e.operation]}:${e.revision}:${hex(e.value)}`);
	}
	return found;
}

async function startWatch(filter, revision) {
	const from = revision === "0" ? {} : { resumeFromRevision: Number(revision) };
	watch = await kv.watch({ key: filter, ...from });
	updates = watch[Symbol.asyncIterator]();
	pending = undefined;
	marked = undefined;
	return ["ok"];
}

// The client has no mark for the end of the initial values. Its isUpdate is true from the last of
// them on, so the mark comes behind the first such entry.
async function next(patience) {
	if (marked === false) {
		marked = true;
		return ["end"];
	}
	pending ??= updates.next();
	let timer;
	const late = new Promise((resolve) => (timer = setTimeout(resolve, Number(patience))));
	const result = await Promise.race([pending, late]);
	clearTimeout(timer);
	if (!result) return ["timeout"];
	pending = undefined;
	if (result.done) throw new Error("the watch ended");
	const e = result.value;
	if (e.isUpdate) marked ??= false;
	return ["ok", operations[e.operation], e.revision, e.key, hex(e.value)];
}

async function unwatch() {
	watch.stop();
	return ["ok"];
}

// increment adds one to the number under key as often as told, by compare-and-set, and answers how
// often it lost a race.
async function increment(key, times) {
	let lost = 0;
	for (let done = 0; done < Number(times); ) {
		const e = await kv.get(key);
		try {
			await update(key, String(Number(e.string()) + 1), e.revision);
			done++;
		} catch (err) {
			if (answerTo(err)[0] !== "conflict") throw err;
			lost++;
		}
	}
	return ["ok", lost];
}

const commands = {
	client, create, bind, status, put, purge, keys, history, next, unwatch, increment,
	get: async (key) => entry(await kv.get(key)),
	revision: async (key, revision) => entry(await kv.get(key, { revision: Number(revision) })),
	"create-key": createKey,
	update: async (key, text, revision) => ["ok", await update(key, value(text), revision)],
	delete: remove,
	watch: startWatch,
};

function answerTo(err) {
	if (err instanceof Cannot) return ["cannot", err.message];
	if (err instanceof JetStreamApiError) {
		if (err.code === JetStreamApiCodes.StreamWrongLastSequence) return ["conflict"];
		if (err.code === noStream) return ["missing"];
	}
	return ["error", String(err.message).replaceAll("\n", " ")];
}

for await (const line of createInterface({ input: process.stdin })) {
	const [name, ...args] = line.split("\t");
	let answer;
	try {
		answer = await commands[name](...args);
	} catch (err) {
		answer = answerTo(err);
	}
	process.stdout.write(answer.join("\t") + "\n");
}
await nc.close();
