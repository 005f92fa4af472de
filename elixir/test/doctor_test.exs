defmodule Erluv.DoctorTest do
  # The doctor when the configuration is wrong, and what words there are for it in Elixir: a VM
  # of its own, as a user's mix has it.
  use Erluv.Case, async: false

  @moduletag timeout: 120_000

  for {name, env, words} <- [
        {"an option that is none", [nodes: [[setings: [max_workers: 1]]]],
         ~r/^erluv +does not run: setings: there is no such option$/m},
        {"a setting that is none", [nodes: [[settings: [max_workerz: 1]]]],
         ~r/^erluv +does not run: .*: settings: there is no max_workerz: is max_workers meant\?$/m},
        {"a setting that stands in a file alone", [nodes: [[settings: [allow_users: ["games"]]]]],
         ~r/^erluv +does not run: allow_users: it stands in a configuration file alone/m},
        {"a list too few", [nodes: [settings: [max_workers: 1]]],
         ~r/^erluv +does not run: nodes: a list with the options of each erluv_node/m},
        {"no list", [nodes: :erluv], ~r/^erluv +does not run: nodes: a list/m},
        {"a path that is none", [executable: 5],
         ~r/^erluv +does not run: executable: a path, or a list/m},
        {"an executable that is not there", [executable: "/no/such/erluv"],
         ~r"^erluv +does not run: there is no executable /no/such/erluv: compile .*, or name its path by config :erluv, executable: \"/path/of/erluv\"$"m},
        {"a mode that is none", [distribution: :remote],
         ~r/^erluv +does not run: distribution: local or none$/m},
        {"a start that is none", [start: :banana],
         ~r/^erluv +does not run: start: on_demand or manual$/m},
        {"no default node", [start: :manual],
         ~r/^erluv +does not run: no erluv_node runs as :erluv: start one under a supervisor, as {:erluv_node, name: :erluv}, or by config :erluv, nodes: \[\[name: :erluv\]\], or/m}
      ] do
    test "#{name} is a line of words, and the exit status 1" do
      env = Keyword.put_new(unquote(Macro.escape(env)), :executable, executable())
      {text, status} = doctor(env)
      assert text =~ unquote(Macro.escape(words))
      assert status == 1
      refute text =~ "MatchError"
    end
  end

  # Of the package: calls take this node, so the doctor does.
  for {name, env, words} <- [
        {"a node that is not there", [node: :nosuch@host],
         ~r/^erluv +does not run: config :erluv_ex, node: :nosuch@host: the erluv node is not connected/m},
        {"a process that is not there", [node: :nosuch],
         ~r/^erluv +does not run: config :erluv_ex, node: :nosuch: no erluv_node runs as :nosuch/m},
        {"a node that is none", [node: "nosuch"],
         ~r/^erluv +does not run: config :erluv_ex, node: is the name of an erluv node, .* got: "nosuch"$/m},
        {"a fallback that is none", [fallback: :prot],
         ~r/^erluv +does not run: config :erluv_ex, fallback: is :port, got: :prot$/m}
      ] do
    test "#{name} is a line of words, and the exit status 1 too" do
      {text, status} = doctor([executable: executable()], unquote(env))
      assert text =~ unquote(Macro.escape(words))
      assert status == 1
      refute text =~ "**"
    end
  end

  test "what works" do
    {text, 0} = doctor(executable: executable())
    assert text =~ ~r/^erluv +erluv_[0-9a-f]{8}@127.0.0.1, version /m
    assert text =~ ~r/^containment +(pidns|cgroup|group), .*: a program ends with /m
  end

  defp executable, do: Application.fetch_env!(:erluv, :executable)

  # The environment, as config/config.exs would set it.
  defp doctor(env, of_package \\ []) do
    all = [erluv: env, erluv_ex: of_package]
    code = "Application.put_all_env(#{inspect(all, limit: :infinity)}, persistent: true)"
    System.cmd("elixir", ["-e", code, "-S", "mix", "erluv.doctor"], stderr_to_stdout: true)
  end
end
