// An EventSource that puts its place into the query: node listen.js URL. A line a message.
const { EventSourcePolyfill } = require("event-source-polyfill");
const source = new EventSourcePolyfill(process.argv[2], { headers: { "X-API-Key": "k" } });
source.addEventListener("message", (event) => console.log(JSON.parse(event.data).body));
