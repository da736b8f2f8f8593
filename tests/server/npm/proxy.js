// The smallest proxy that compresses: node proxy.js TARGET. Says at which port it listens.
const { createProxyMiddleware } = require("http-proxy-middleware");
const app = require("express")();
app.use(require("compression")({ threshold: 0 }));
app.use(createProxyMiddleware({ target: process.argv[2], changeOrigin: true, logLevel: "silent" }));
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
