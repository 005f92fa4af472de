defmodule Erluv.DocsTest do
  # Every public function has a doc with an example, and a spec. The examples of the guides and of
  # the manuals run.
  use Erluv.Case

  @modules [Erluv, Erluv.Daemon, Erluv.Fleet, Erluv.Host, Erluv.Sandbox, Erluv.Telemetry]

  test "every public function has a doc, examples and a spec" do
    for module <- @modules do
      {:docs_v1, _, _, _, %{}, _, docs} = Code.fetch_docs(module)
      {:ok, specs} = Code.Typespec.fetch_specs(module)
      specs = for {name_arity, _} <- specs, do: name_arity

      for {{:function, name, arity}, _, _, doc, _} <- docs, doc != :hidden do
        case doc do
          %{"en" => text} -> assert text =~ "iex>", "#{name}/#{arity} has no example"
          # A callback of GenServer.
          :none -> assert name in callbacks(), "#{name}/#{arity} has no doc"
        end

        assert name in callbacks() or {name, arity} in specs, "#{name}/#{arity} has no spec"
      end
    end
  end

  defp callbacks, do: [:init, :handle_call, :handle_cast, :handle_info, :terminate]

  test "modules that are not for users are hidden" do
    {:ok, modules} = :application.get_key(:erluv_ex, :modules)

    for module <- modules, {:docs_v1, _, _, _, %{"en" => _}, _, _} <- [Code.fetch_docs(module)] do
      assert module in [
               Erluv.Error,
               Erluv.ExitError,
               Erluv.LiveDashboard.Page,
               Mix.Tasks.Erluv.Doctor | @modules
             ]
    end
  end

  test "IEx shows what the Erlang library says of itself" do
    import ExUnit.CaptureIO
    require IEx.Helpers

    assert capture_io(fn -> IEx.Helpers.h(:erluv) end) =~
             "Runs programs of the operating system on an erluv node."

    spawn = capture_io(fn -> IEx.Helpers.h(:erluv.spawn() / 3) end)
    assert spawn =~ "Starts a program."
    assert spawn =~ "{error, enoent} = erluv:spawn(erluv, [\"no-such-program\"])."
  end

  @guides for name <- [
                "doc/from-muontrap",
                "doc/from-exile",
                "doc/agents",
                "README",
                "elixir/README"
              ],
              do: {name, File.read!(Path.join(__DIR__, "../../#{name}.md"))}
  @guide @guides |> hd() |> elem(1)

  # Examples of the replaced package do not run, nor those for mix.exs (packaging/hex_test.go).
  @examples for {name, guide} <- @guides,
                {block, n} <- guide |> String.split("```elixir\n") |> tl() |> Enum.with_index(1),
                example = hd(String.split(block, "```")),
                not (example =~ ~r/(MuonTrap|Exile)\.|\A(config |{:erluv)/),
                do: {name, n, example}

  test "the guides have examples" do
    for {"doc/" <> _ = name, _} <- @guides,
        do: assert(Enum.count(@examples, &(elem(&1, 0) == name)) >= 4)
  end

  # A configuration is one, of keys that the applications read.
  @configurations for {name, guide} <- @guides,
                      [_, text] <- Regex.scan(~r/```elixir\n(config .*?)```/s, guide),
                      do: {name, text}

  test "the configurations of the guides" do
    sources =
      for pattern <- ["../../erlang/src/*.erl", "../lib/**/*.ex"],
          file <- Path.wildcard(Path.join(__DIR__, pattern)),
          do: File.read!(file)

    assert length(@configurations) >= 2

    for {name, text} <- @configurations do
      file = Path.join(System.tmp_dir!(), "config-#{System.unique_integer([:positive])}.exs")
      File.write!(file, "import Config\n" <> text)

      for {app, pairs} <- Config.Reader.read!(file), {key, _} <- pairs do
        assert app in [:erluv, :erluv_ex], name
        assert Enum.any?(sources, &(&1 =~ ~r/get_env\(:?#{app}, :?#{key}\b/)), "#{name}: #{key}"
      end

      File.rm!(file)
    end
  end

  # Those of doc/operating.md need a terminal, telemetry and Phoenix, which other tests have: here their
  # functions of this package exist, and that for logger runs.
  test "the examples of doc/operating.md" do
    text = File.read!(Path.join(__DIR__, "../../doc/operating.md"))
    examples = for [_, code] <- Regex.scan(~r/```elixir\n(.*?)```/s, text), do: code
    assert length(examples) == 4

    for code <- examples do
      Macro.prewalk(Code.string_to_quoted!(code), fn
        {{:., _, [{:__aliases__, _, [:Erluv | _] = names}, name]}, _, args} = call ->
          module = Module.concat(names)
          assert Code.ensure_loaded?(module) and function_exported?(module, name, length(args))
          call

        other ->
          other
      end)
    end

    file = Path.join(System.tmp_dir!(), "programs-#{System.unique_integer([:positive])}.log")
    example = Enum.find(examples, &(&1 =~ "add_handler"))
    {:ok, _} = Code.eval_string(String.replace(example, "programs.log", file))
    :ok = :logger.remove_handler(:programs)
    File.rm!(file)
  end

  # What an example leaves running is there a second later, too.
  for {name, n, example} <- @examples do
    test "example #{n} of #{name}.md" do
      Process.flag(:trap_exit, true)
      {_, bound} = Code.eval_string(unquote(example))
      left = for {_, pid} <- bound, is_pid(pid), node(pid) == node(), Process.alive?(pid), do: pid
      if left != [], do: Process.sleep(1000)
      assert Enum.filter(left, &Process.alive?/1) == left
      for pid <- left, do: GenServer.stop(pid)
    end
  end

  for page <- ["erluv.3erl", "erluv-protocol.7"],
      text = File.read!(Path.join(__DIR__, "../../man/#{page}")),
      {[_, example], n} <-
        ~r/^Elixir:\n\.Bd -literal\n(.*?)^\.Ed/ms |> Regex.scan(text) |> Enum.with_index(1) do
    # With mdoc's \e as the backslash that it is.
    @tag example: String.replace(example, "\\e", "\\")
    test "example #{n} of #{page}", %{example: example} do
      Process.flag(:trap_exit, true)
      {port, node, child} = erluv()
      # The example about a crash needs one.
      if example =~ "child_down", do: {_, 0} = System.cmd("kill", ["-KILL", "#{child}"])
      Code.eval_string(example, node: node, erluv: {:erluv, node})
      :ok = GenServer.call({:erluv, node}, {:stop, :normal}, :infinity)
      assert_receive {^port, {:exit_status, 0}}, 120_000
    end
  end

  # An erluv of which this process is the controller.
  defp erluv do
    Process.register(self(), __MODULE__)
    [erluv] = Application.fetch_env!(:erluv, :executable)

    options = [
      args: ~w(--config none --node #{node()} --controller #{__MODULE__}),
      env: [{~c"ERLUV_COOKIE", Atom.to_charlist(Node.get_cookie())}]
    ]

    port = Port.open({:spawn_executable, erluv}, [:stderr_to_stdout, :exit_status | options])
    assert_receive {:erluv, node, {:up, %{child_os_pid: child}}}, 120_000
    {port, node, child}
  end

  test "the guide tells of every option of a daemon" do
    {:docs_v1, _, _, _, %{"en" => text}, _, _} = Code.fetch_docs(Erluv.Daemon)

    for [_, option] <- Regex.scan(~r/^  \* `:(\w+)`/m, text) do
      assert @guide =~ "`#{option}`", "the guide does not tell of #{option}"
    end
  end
end
