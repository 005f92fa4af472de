# For root erluv wants all that confines programs from the kernel, and says so where a part
# is missing. What is tested here needs none of it.
erluv = System.fetch_env!("ERLUV_BIN")
Application.put_env(:erluv, :executable, [erluv])
Process.flag(:trap_exit, true)
Logger.configure(level: :error)

case :erluv_node.start_link() do
  {:ok, node} ->
    Process.unlink(node)

  {:error, {:exited, _, words} = reason} ->
    words =~ "best-effort" || exit(reason)
    Application.put_env(:erluv, :executable, [erluv, "--sandbox=best-effort"])
    {:ok, node} = :erluv_node.start_link()
    Process.unlink(node)
end

Process.flag(:trap_exit, false)
Logger.configure(level: :debug)
ExUnit.start(capture_log: true)
ExUnit.after_suite(fn _ -> :erluv_node.stop(:erluv) end)
