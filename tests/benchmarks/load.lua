-- Requests of wrk: one for each line of a file of keys, in turn.
local requests, turn = {}, 0

function init()
  local method, path = os.getenv("LOAD_METHOD"), os.getenv("LOAD_PATH")
  local header, body = os.getenv("LOAD_HEADER"), os.getenv("LOAD_BODY")
  if body ~= "" then wrk.headers["Content-Type"] = "application/json" end
  wrk.headers["Host"] = os.getenv("LOAD_HOST")
  local name, value = string.match(os.getenv("LOAD_AUTHORIZATION"), "([^:]*): ?(.*)")
  if name then wrk.headers[name] = value end
  local named, before = string.match(header, "([^:]*): ?(.*)")
  for key in io.lines(os.getenv("LOAD_KEYS")) do
    if named then wrk.headers[named] = before .. key end
    local asked = body ~= "" and string.gsub(body, "KEY", key) or nil
    requests[#requests + 1] = wrk.format(method, path, nil, asked)
  end
  turn = tonumber(os.getenv("LOAD_START")) % #requests
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    'RESULT {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "broken": %d, "refused": %d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
