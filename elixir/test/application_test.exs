defmodule Erluv.ApplicationTest do
  # When a VM becomes a node, as a user's project, scripts and tests have it: pids of before are
  # no pids of it afterwards, and the compiler of Elixir keeps one for each file.
  use Erluv.Case, async: false

  @moduletag timeout: 240_000

  @call ~S|{"hi\n", 0} = Erluv.cmd("echo", ["hi"])|

  @mixfile """
  defmodule Early.MixProject do
    use Mix.Project
    def project, do: [app: :early, version: "0.1.0", deps: [{:erluv_ex, path: DIR}]]
  end
  """

  # It loads longer than the other one runs.
  @slow """
  Process.sleep(1500)

  defmodule SlowTest do
    use ExUnit.Case, async: true
    test "a module of a file that takes long", do: assert Node.alive?()
  end
  """

  @fast """
  defmodule FastTest do
    use ExUnit.Case, async: true
    test "a call", do: #{@call}
  end
  """

  @script """
  IO.inspect(Node.alive?(), label: "alive")
  #{@call}

  defmodule Later do
    def x, do: IO.puts("later")
  end

  Later.x()
  """

  setup_all do
    dir = Path.join(System.user_home!(), "early#{System.unique_integer([:positive])}")

    for {file, text} <- [
          {"mix.exs", String.replace(@mixfile, "DIR", inspect(File.cwd!()))},
          {"script.exs", @script},
          {"test/slow_test.exs", @slow},
          {"test/fast_test.exs", @fast},
          {"test/test_helper.exs", "ExUnit.start()"}
        ] do
      File.mkdir_p!(Path.dirname(Path.join(dir, file)))
      File.write!(Path.join(dir, file), text)
    end

    {text, status} = mix(dir, ["compile"])
    assert status == 0, text
    [dir: dir]
  end

  test "a file of tests may be compiled while another one's tests run", %{dir: dir} do
    {text, status} = mix(dir, ["test"])
    assert status == 0, text
    assert text =~ ~r/2 tests, 0 failures|Result: 2 passed/
  end

  test "a script may have a module after a call", %{dir: dir} do
    {text, status} = mix(dir, ["run", "script.exs"])
    assert status == 0, text
    assert text =~ "alive: true\n"
    assert text =~ "later\n"
  end

  test "a VM that is not to be a node by itself is none when it starts", %{dir: dir} do
    for setting <- ["distribution: :none", "start: :manual"] do
      # As config/config.exs has it.
      code = "Application.put_all_env([erluv: [#{setting}]], persistent: true)"
      say = ~s|IO.inspect({Node.alive?(), Node.start(:"mine@127.0.0.1") != nil})|
      args = ["-e", code, "--erl", "-start_epmd false", "-S", "mix", "run", "-e", say]
      {text, 0} = System.cmd("elixir", args, cd: dir, stderr_to_stdout: true)
      assert text =~ "{false, true}"
    end
  end

  test "where the VM cannot be a node, the first call says why, once", %{dir: dir} do
    say = ~s|IO.puts("started"); #{@call}|
    args = ["--erl", "-sname undefined -start_epmd false", "-S", "mix", "run", "-e", say]
    {text, 1} = System.cmd("elixir", args, cd: dir, stderr_to_stdout: true)
    [before, later] = String.split(text, "started\n")
    assert before == ""
    assert later =~ "** (Erluv.Error) echo: this node has no name until another node gives it one"
  end

  # The application starts in the middle of the file here.
  test "a script that installs may have modules, and a call after them" do
    file = Path.join(System.user_home!(), "install#{System.unique_integer([:positive])}.exs")

    File.write!(file, """
    Mix.install([{:erluv_ex, path: #{inspect(File.cwd!())}}])

    defmodule Later do
      def x, do: #{@call}
    end

    IO.inspect({Node.alive?(), Later.x()})
    """)

    {text, status} = System.cmd("elixir", [file], stderr_to_stdout: true)
    assert status == 0, text
    assert text =~ ~S|{false, {"hi\n", 0}}|
  end

  defp mix(dir, args), do: System.cmd("mix", args, cd: dir, stderr_to_stdout: true)
end
