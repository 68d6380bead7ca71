"use strict";
// What the pages of all libraries have: what was heard. Messages are remembered over a reload, as a client would.
const shelf = "stonechat-test-messages";
const got = { messages: JSON.parse(sessionStorage.getItem(shelf) ?? "[]"), presence: [], errors: [] };

const hear = (from, body, delayed = false) => {
  got.messages.push({ from, body, delayed });
  sessionStorage.setItem(shelf, JSON.stringify(got.messages));
};
const heard = () => got.messages.map(({ body }) => body);
const see = (from, type) => got.presence.push({ from, type: type || "available" });
const sayMany = async (to, prefix, count) => { for (let i = 0; i < count; i++) await say(to, prefix + i); };
