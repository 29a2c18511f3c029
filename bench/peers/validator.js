/*
 * The upstream of auth_request: validator.js SOCKET REDIS-SOCKET.
 *
 * Answers 204 or 401 for the token of Authorization or, at /digest, for the id
 * and digest that njs has taken from it (X-Token: id.digest); 503 if Redis cannot be
 * asked.  One connection to Redis, on which commands are pipelined.  A good
 * answer may be cached for a minute, or until the token expires.
 */

'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const net = require('net');

const [socket, redisSocket] = process.argv.slice(2);

/* Redis: replies come in the order of the commands. */

const waiting = [];
let buffer = Buffer.alloc(0);
let out = '';
let redis;

function connect() {
    redis = net.connect(redisSocket);
    redis.on('data', (data) => {
        buffer = buffer.length ? Buffer.concat([buffer, data]) : data;
        read();
    });
    redis.on('error', () => {});
    redis.on('close', () => {
        buffer = Buffer.alloc(0);
        out = '';
        waiting.splice(0).forEach((done) => done(null));
        setTimeout(connect, 100);
    });
}

/* Arrays of three strings, and errors; the rest stays for more data. */

function read() {
    let at = 0;

    while (at < buffer.length) {
        let eol = buffer.indexOf('\r\n', at);
        if (eol < 0) {
            break;
        }

        if (buffer[at] !== 42 /* * */) {
            waiting.shift()(null);
            at = eol + 2;
            continue;
        }

        const values = [];
        let next = eol + 2;

        while (values.length < 3) {
            eol = buffer.indexOf('\r\n', next);
            if (eol < 0) {
                break;
            }
            const length = Number(buffer.latin1Slice(next + 1, eol));
            next = eol + 2;
            if (length < 0) {
                values.push(null);
                continue;
            }
            if (next + length + 2 > buffer.length) {
                break;
            }
            values.push(buffer.subarray(next, next + length));
            next += length + 2;
        }

        if (values.length < 3) {
            break;
        }

        waiting.shift()(values);
        at = next;
    }

    buffer = buffer.subarray(at);
}

function load(id, done) {
    if (redis.readyState !== 'open') {
        done(null);
        return;
    }

    if (out === '') {
        setImmediate(() => {
            redis.write(out);
            out = '';
        });
    }

    const key = `at:t:{${id.slice(0, 4)}}:${id}`;
    out += `*5\r\n$5\r\nHMGET\r\n$${key.length}\r\n${key}\r\n`
           + '$1\r\nh\r\n$1\r\ns\r\n$1\r\ne\r\n';
    waiting.push(done);
}

function answer(response, status, seconds) {
    response.writeHead(status, { 'Content-Length': 0,
                                 'X-Accel-Expires': seconds });
    response.end();
}

function check(request, response) {
    let id;
    let digest;

    if (request.url === '/digest') {
        const m = /^([0-9A-Za-z]{20})\.([0-9a-f]{64})$/
                  .exec(request.headers['x-token'] || '');

        if (m !== null) {
            id = m[1];
            digest = Buffer.from(m[2], 'hex');
        }

    } else {
        const m = /^bearer +at_([0-9A-Za-z]{52})[0-9A-Za-z]{6}$/i
                  .exec(request.headers.authorization || '');

        if (m !== null) {
            id = m[1].slice(0, 20);
            digest = crypto.createHash('sha256').update(m[1]).digest();
        }
    }

    if (!id) {
        answer(response, 401, 2);
        return;
    }

    load(id, (record) => {
        if (record === null) {
            answer(response, 503, 0);
            return;
        }

        const [hash, status, expiry] = record;
        const now = Math.floor(Date.now() / 1000);
        const expires = Number(expiry === null ? NaN : expiry.latin1Slice());

        if (hash === null || hash.length !== digest.length
            || !crypto.timingSafeEqual(hash, digest)
            || status === null || status.latin1Slice() !== 'a'
            || !(expires === 0 || expires > now))
        {
            answer(response, 401, 2);
            return;
        }

        answer(response, 204, expires ? Math.min(60, expires - now) : 60);
    });
}

connect();

const server = http.createServer(check);

server.keepAliveTimeout = 600 * 1000;
server.listen(socket, () => fs.chmodSync(socket, 0o777));
