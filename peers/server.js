// SPDX-License-Identifier: GPL-2.0-only
// server.js PORT: HTTP, the same file for every request.
'use strict';
const page = require('fs').readFileSync('/srv/page');

require('http').createServer((request, response) => {
	response.writeHead(200, { 'Content-Length': page.length });
	response.end(page);
}).listen(Number(process.argv[2]), '127.0.0.1');
