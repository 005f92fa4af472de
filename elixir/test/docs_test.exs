defmodule Erluv.DocsTest do
  # Every public function has a doc with an example, and a spec. The guide's examples run.
  use Erluv.Case

  @modules [Erluv, Erluv.Daemon]

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
      assert module in [Erluv.Error, Erluv.ExitError, Mix.Tasks.Erluv.Doctor | @modules]
    end
  end

  # Those of MuonTrap, and of a configuration, do not run.
  @guide File.read!(Path.join(__DIR__, "../../doc/from-muontrap.md"))
  @examples @guide
            |> String.split("```elixir\n")
            |> tl()
            |> Enum.map(&hd(String.split(&1, "```")))
            |> Enum.reject(&(&1 =~ ~r/MuonTrap\.|\Aconfig /))

  test "the guide has examples" do
    assert length(@examples) >= 4
  end

  for {example, n} <- Enum.with_index(@examples, 1) do
    test "example #{n} of the guide" do
      Process.flag(:trap_exit, true)
      Code.eval_string(unquote(example))
    end
  end

  test "the guide tells of every option of a daemon" do
    {:docs_v1, _, _, _, %{"en" => text}, _, _} = Code.fetch_docs(Erluv.Daemon)

    for [_, option] <- Regex.scan(~r/^  \* `:(\w+)`/m, text) do
      assert @guide =~ "`#{option}`", "the guide does not tell of #{option}"
    end
  end
end
