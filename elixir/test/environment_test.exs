defmodule Erluv.EnvironmentTest do
  # What is inherited has the bytes that it has in the environment of the VM, whatever text that
  # is for it.
  use Erluv.Case, async: true

  @utf8 "é"
  @latin1 <<0xE9>>

  for locale <- ["C", "C.UTF-8"] do
    test "a VM with the locale #{locale}" do
      dir = Path.join(System.user_home!(), "jos#{System.unique_integer([:positive])}")
      bin = dir <> "/" <> @latin1
      :ok = :file.make_dir(dir)
      :ok = :file.make_dir(bin)
      :ok = :file.write_file(bin <> "/jtool", "#!/bin/sh\necho \"$O_UTF8 $O_LATIN1\"\n")
      :ok = :file.change_mode(bin <> "/jtool", 0o755)
      :ok = :file.change_mode(bin, 0o755)
      :ok = :file.change_mode(dir, 0o755)

      peer =
        vm("""
        l=$(printf '\\351'); export LC_ALL=#{unquote(locale)}
        export O_UTF8=$(printf '\\303\\251') O_LATIN1=$l PATH="#{dir}/$l:$PATH"
        exec erl "$@"
        """)

      line = @utf8 <> " " <> @latin1 <> "\n"
      call = &call(peer, &1, &2, &3)
      assert {^line, 0} = call.(Erluv, :cmd, ["jtool", []])
      assert [^line] = call.(Enum, :to_list, [call.(Erluv, :stream!, [["jtool"]])])

      # It ends with the call that starts it.
      args = [
        "sh",
        ["-c", "jtool; sleep 60"],
        [ready: {:line, "^#{@utf8} "}, ready_timeout: 20_000]
      ]

      assert {:ok, _} = call.(Erluv.Daemon, :start_link, args)
      :peer.stop(peer)
    end
  end

  # Its environment is none that a port can give it.
  defp vm(script) do
    {:ok, peer, _} =
      :peer.start_link(%{
        connection: :standard_io,
        exec: {~c"/bin/sh", [~c"-c", String.to_charlist(script), ~c"sh"]},
        args: [~c"-start_epmd", ~c"false", ~c"-pa" | :code.get_path()]
      })

    executable = Application.fetch_env!(:erluv, :executable)
    :ok = call(peer, Application, :put_env, [:erluv, :executable, executable])
    {:ok, _} = call(peer, Application, :ensure_all_started, [:erluv_ex])
    peer
  end
end
