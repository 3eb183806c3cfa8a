-- SPDX-License-Identifier: GPL-2.0-only
-- For wrk: every response is compared with the file, byte for byte.
local threads = {}

function setup(thread)
	table.insert(threads, thread)
end

function init(args)
	bad = 0
	local file = assert(io.open("/srv/page", "rb"))
	expected = file:read("*a")
	file:close()
end

function response(status, headers, body)
	if status ~= 200 or body ~= expected then
		bad = bad + 1
	end
end

function done(summary, latency, requests)
	local e = summary.errors
	local errors = e.connect + e.read + e.write + e.status + e.timeout
	for _, thread in ipairs(threads) do
		errors = errors + thread:get("bad")
	end
	print(string.format("load %.1f %d", summary.requests / summary.duration * 1e6, errors))
end
