defmodule Erluv.SandboxTest do
  use Erluv.Case

  doctest Erluv.Sandbox

  # What this kernel cannot do is refused, and nothing else.
  defp files?, do: Erluv.cmd("true", [], sandbox: :read_only) == {"", 0}

  setup do
    dir = "/tmp/erluv-sandbox-#{System.unique_integer([:positive])}"
    {_, 0} = Erluv.cmd("mkdir", [dir])
    on_exit(fn -> File.rm_rf!(dir) end)
    %{dir: dir}
  end

  defp sh(script, opts), do: Erluv.cmd("sh", ["-c", script], [stderr: :disable, cd: "/"] ++ opts)

  test "words for what a program may write", %{dir: dir} do
    script =
      "echo x >#{dir}/a && echo in; echo x >/tmp/#{Path.basename(dir)}-b && echo out; echo x >/dev/null && echo null"

    cases = [
      {[], "in\nout\nnull\n"},
      {[sandbox: :read_only], "null\n"},
      {[sandbox: {:workspace, dir}], "in\nnull\n"},
      {[sandbox: [workspace: [dir]]], "in\nnull\n"},
      {[sandbox: [:no_network, workspace: dir]], "in\nnull\n"},
      {[sandbox: [:no_network, :read_only]], "null\n"},
      {[sandbox: %{write: ["/dev/null"], exec: ["/"]}], "null\n"}
    ]

    for {opts, out} <- cases do
      if opts == [] or files?() do
        assert {opts, sh(script, opts)} == {opts, {out, 0}}
      else
        assert_raise Erluv.Error, ~r/sandbox/, fn -> sh(script, opts) end
      end
    end

    File.rm("/tmp/#{Path.basename(dir)}-b")
  end

  test "no network" do
    script = "exec 3<>/dev/tcp/127.0.0.1/1"

    run = fn opts ->
      Erluv.cmd("bash", ["-c", script], [stderr_to_stdout: true, cd: "/"] ++ opts)
    end

    {refused, 1} = run.([])
    assert refused =~ "Connection refused"
    {denied, 1} = run.(sandbox: :no_network)
    refute denied =~ "Connection refused"
  end

  test "what is no word is left to erluv" do
    for wrong <- [:all, [:read_only, :all], {:workspace, 1}, %{no: 1}, 3] do
      assert_raise ArgumentError, fn -> Erluv.cmd("true", [], sandbox: wrong, cd: "/") end
    end
  end
end
