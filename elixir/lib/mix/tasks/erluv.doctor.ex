defmodule Mix.Tasks.Erluv.Doctor do
  @shortdoc "Says what erluv finds on this machine, and whether it works"

  @moduledoc """
  Starts an erluv and says what it has found: the executable and its version, how this VM is
  distributed, the kernel, how programs are contained, and what the sandbox has of this kernel.

      $ mix erluv.doctor

  The exit status is 1 when programs cannot be run, and the reason is said. Where programs run
  by ports, as there is no erluv for the operating system, it says that.
  """

  use Mix.Task

  @impl true
  def run(_args) do
    Mix.Task.run("app.config")
    before = Node.self()
    started = Application.ensure_all_started(:erluv_ex)
    say("executable", executable())
    with {:error, reason} <- started, do: reason |> why() |> words() |> fails()

    case default_node() do
      port when is_function(port) ->
        say("programs", "run by ports: config :erluv_ex, fallback: :port")

      node ->
        start(before, node)
    end
  end

  # The one that calls take, which the configuration may name.
  defp default_node do
    Erluv.Options.default_node()
  rescue
    error in ArgumentError -> fails(Exception.message(error))
  end

  defp start(before, node) do
    {time, info} = :timer.tc(fn -> :erluv.info(node) end)
    say("distribution", distribution(before, Node.self()))
    say("kernel", kernel())
    report(info, node, div(time, 1000))
  end

  defp executable do
    case :erluv_executable.which() do
      {:ok, command} -> Enum.join(command, " ")
      {:error, reason} -> words(reason)
    end
  end

  # What the VM was before, and is now.
  defp distribution(:nonode@nohost, :nonode@nohost), do: "this VM is no node"

  defp distribution(:nonode@nohost, node),
    do: "this VM is no node, and was made #{node}: hidden, without EPMD and listener"

  defp distribution(node, _), do: "this VM is the node #{node}"

  defp kernel do
    case File.read("/proc/sys/kernel/osrelease") do
      {:ok, release} -> "Linux " <> String.trim(release)
      {:error, _} -> "no Linux"
    end
  end

  # What an application did not start for: the configuration may be wrong.
  defp why({_application, {reason, {module, :start, _}}}) when is_atom(module), do: reason
  defp why({_application, reason}), do: reason

  defp fails(words) do
    say("erluv", "does not run: " <> words)
    exit({:shutdown, 1})
  end

  defp report({:error, reason}, :erluv, _), do: fails(words(reason))

  defp report({:error, reason}, node, _),
    do: fails("config :erluv_ex, node: #{inspect(node)}: #{words(reason)}")

  defp report(info, _, time) do
    say("erluv", "#{info.node}, version #{info.version}, up in #{time} ms")
    say("programs run as", "#{info.user}, and at most #{info.max_workers} at a time")
    say("containment", "#{info.contained}#{limits(info.limits)}: #{ends(info.contained)}")
    {mode, parts} = Map.pop(info.sandbox, :mode)
    say("sandbox", "#{mode}: #{sandbox(Map.drop(parts, [:capabilities, :dumpable]))}")
  end

  # What of a program ends with it.
  defp ends(:group),
    do: "a program ends with its process group; a daemon, which leaves that, ends with erluv"

  defp ends(_), do: "a program ends with all that it has started, daemons too"

  defp limits(%{} = limits) do
    case for {limit, true} <- limits, do: limit do
      [] -> ", without limits"
      some -> ", with limits of #{Enum.join(some, ", ")}"
    end
  end

  # What of it is in force, and what this kernel or this user cannot have.
  defp sandbox(parts) do
    {has, lacks} = Enum.split_with(parts, fn {_, there} -> there end)

    [list(has) | if(lacks == [], do: [], else: [list(lacks)])]
    |> Enum.join("; not ")
  end

  defp list([]), do: "nothing"
  defp list(parts), do: Enum.map_join(parts, ", ", &elem(&1, 0))

  defp words(reason), do: to_string(:erluv.format_error(reason))

  defp say(what, text), do: Mix.shell().info(String.pad_trailing(what, 17) <> text)
end
