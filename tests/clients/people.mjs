// One person on @xmpp/client: reads one question per line from standard input, writes one answer per line to standard
// output, and lines with the messages and the presence that come. The first argument says who it is.

import { client, xml, jid } from "@xmpp/client";
import { createInterface } from "node:readline";

// The server under test has a certificate that nobody vouches for; Node says so on standard error.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";

const { jid: address, password, service, register, stays } = JSON.parse(process.argv[2]);
const me = jid(address);
const xmpp = client({
  service,
  domain: me.domain,
  credentials: async (authenticate, [mechanism]) => {
    // XEP-0077: the account is made before the login on the same stream.
    if (register) {
      await set(xml("query", "jabber:iq:register", xml("username", {}, me.local), xml("password", {}, password)));
    }
    await authenticate({ username: me.local, password }, mechanism);
  },
});
// A busy machine is no failure here, and a connection that breaks is one where nobody cuts it.
xmpp.timeout = 30_000;
if (!stays) xmpp.reconnect.stop();

const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const bare = (address) => jid(address).bare().toString();
const get = (payload, to) => xmpp.iqCaller.get(payload, to);
const set = (payload, to) => xmpp.iqCaller.set(payload, to);
const blocking = (name, ...items) => xml(name, "urn:xmpp:blocking", ...items.map((jid) => xml("item", { jid })));
const note = (text) => xml("query", "jabber:iq:private", xml("note", "urn:example:note", text));

xmpp.on("stanza", (stanza) => {
  if (stanza.is("presence")) {
    tell({ presence: [bare(stanza.attrs.from), stanza.attrs.type ?? "available"] });
  } else if (stanza.is("message")) {
    const how = ["sent", "received"].find((how) => stanza.getChild(how, "urn:xmpp:carbons:2")) ?? "live";
    const inner = stanza.getChild(how)?.getChild("forwarded").getChild("message") ?? stanza;
    const body = inner.getChildText("body");
    if (body) tell({ message: [how, bare(inner.attrs.from), body] });
  }
});
xmpp.on("error", (error) => process.stderr.write(`${error}\n`));

const can = {
  login: async () => {
    await xmpp.start();
    // Whoever has not asked for the roster hears nothing of its changes (RFC 6121 2.2).
    await can.contacts();
  },
  leave: () => xmpp.stop(),
  available: () => xmpp.send(xml("presence")),
  presence: (to, type) => xmpp.send(xml("presence", { to, type })),
  say: (to, body) => xmpp.send(xml("message", { to, type: "chat" }, xml("body", {}, body))),
  contacts: async () => {
    const query = await get(xml("query", "jabber:iq:roster"));
    return query.getChildren("item").map(({ attrs }) => [attrs.jid, attrs.name ?? null, attrs.subscription]);
  },
  set_item: (jid, name) =>
    set(xml("query", "jabber:iq:roster", xml("item", { jid, name }, xml("group", {}, "Friends")))),
  remove_item: (jid) => set(xml("query", "jabber:iq:roster", xml("item", { jid, subscription: "remove" }))),
  block: (jid) => set(blocking("block", jid)),
  unblock: (jid) => set(blocking("unblock", jid)),
  blocked: async () => (await get(blocking("blocklist"))).getChildren("item").map(({ attrs }) => attrs.jid),
  enable_carbons: () => set(xml("enable", "urn:xmpp:carbons:2")),
  put_note: (text) => set(note(text)),
  note: async () => (await get(note())).getChild("note").text(),
  put_vcard: (name) => set(xml("vCard", "vcard-temp", xml("FN", {}, name))),
  vcard: async (jid) => (await get(xml("vCard", "vcard-temp"), jid))?.getChildText("FN") ?? "",
  change_password: (password) =>
    set(xml("query", "jabber:iq:register", xml("username", {}, me.local), xml("password", {}, password)), me.domain),
  cancel: () => set(xml("query", "jabber:iq:register", xml("remove")), me.domain),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { number, what, arguments: words } = JSON.parse(line);
  Promise.resolve()
    .then(() => can[what](...words))
    .then((answer) => tell({ number, answer: answer instanceof xml.Element ? null : answer }))
    .catch((error) => tell({ number, error: error.condition ?? String(error) }));
}
