defmodule Erluv.BinaryTest do
  # The executable that a project names, when it has the application as a dependency.
  use ExUnit.Case

  setup do
    dir = Path.join(System.tmp_dir!(), "erluv-project-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm_rf!(dir) end)
    for name <- ["bin", "config"], do: File.mkdir_p!(Path.join(dir, name))
    File.cp!(System.fetch_env!("ERLUV_BIN"), Path.join(dir, "bin/named"))

    File.write!(Path.join(dir, "mix.exs"), """
    defmodule Project.MixProject do
      use Mix.Project

      def project,
        do: [app: :project, version: "0.1.0", deps: [{:erluv, path: #{inspect(Path.expand("../erlang"))}}]]
    end
    """)

    File.write!(Path.join(dir, "config/config.exs"), """
    import Config
    if binary = System.get_env("NAMED"), do: config(:erluv, binary: binary)
    """)

    %{dir: dir}
  end

  defp compile(dir, env) do
    File.rm_rf!(Path.join(dir, "_build"))

    System.cmd("mix", ["compile"],
      cd: dir,
      env: [{"ERLUV_BIN", nil}, {"MIX_ENV", nil} | env],
      stderr_to_stdout: true
    )
  end

  test "a relative path is of the project, and words name what has set it", %{dir: dir} do
    made = Path.join(dir, "_build/dev/lib/erluv/priv/erluv")

    for name <- ["ERLUV_BIN", "NAMED"] do
      {text, status} = compile(dir, [{name, "bin/named"}])
      assert {status, text} == {0, text}
      assert File.read!(made) == File.read!(Path.join(dir, "bin/named"))
    end

    {text, 1} = compile(dir, [{"NAMED", "bin/none"}])
    assert text =~ "erluv: binary of config :erluv is #{dir}/bin/none, which is no erluv"
    {text, 1} = compile(dir, [{"ERLUV_BIN", "bin/none"}, {"NAMED", "bin/named"}])
    assert text =~ "erluv: ERLUV_BIN is #{dir}/bin/none, which is no erluv"
  end
end
