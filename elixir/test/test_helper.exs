erluv = System.fetch_env!("ERLUV_BIN")
Application.put_env(:erluv, :executable, [erluv])
Application.put_env(:erluv, :timeout, 120_000)
{:ok, node} = :erluv_node.start_link()
Process.unlink(node)
# The time of a test is a bound, for what hangs.
ExUnit.start(capture_log: true, timeout: 240_000)
ExUnit.after_suite(fn _ -> :erluv_node.stop(:erluv) end)
