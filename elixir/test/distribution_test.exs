defmodule Erluv.DistributionTest do
  # VMs that differ in how they are nodes, where the tests of :erluv have no TLS.
  use Erluv.Case

  test "a VM whose distribution is TLS" do
    dir = Path.join(System.user_home!(), "tls#{System.unique_integer([:positive])}")
    File.mkdir_p!(dir)
    # Mix takes from this VM the applications of OTP that the project does not name.
    {:ok, plain, _} = :peer.start_link(%{connection: :standard_io})
    public_key = &call(plain, :public_key, &1, &2)
    %{cert: cert, key: key} = public_key.(:pkix_test_root_cert, [~c"erluv", []])

    for {name, entry} <- [
          {"cert", {:Certificate, cert, :not_encrypted}},
          {"key", public_key.(:pem_entry_encode, [elem(key, 0), key])}
        ],
        do: File.write!(Path.join(dir, name), public_key.(:pem_encode, [[entry]]))

    :peer.stop(plain)
    server = [certfile: ~c"#{dir}/cert", keyfile: ~c"#{dir}/key"]
    File.write!("#{dir}/options", :io_lib.format("~p.~n", [[server: server]]))

    {peer, _} =
      vm(:"tls_#{System.unique_integer([:positive])}", ~c"127.0.0.1", [
        ~c"-proto_dist",
        ~c"inet_tls",
        ~c"-ssl_dist_optfile",
        ~c"#{dir}/options"
      ])

    executable = Application.fetch_env!(:erluv, :executable)
    :ok = call(peer, Application, :put_env, [:erluv, :executable, executable])
    assert {"hello\n", 0} = call(peer, Erluv, :cmd, ["echo", ["hello"]])
    :peer.stop(peer)
  end

  test "a VM that is no node and is to stay so says it" do
    {:ok, peer, _} =
      :peer.start_link(%{connection: :standard_io, args: [~c"-pa" | :code.get_path()]})

    :ok = call(peer, Application, :put_env, [:erluv, :distribution, :none])
    {:ok, _} = call(peer, Application, :ensure_all_started, [:elixir])

    assert_raise Erluv.Error,
                 ~r/^true: this node is not distributed: start it with --sname or --name, or, unless this is to attach, let erluv make it a node, by config :erluv, distribution: :local$/,
                 fn ->
                   call(peer, Erluv, :cmd, ["true", []])
                 end

    :peer.stop(peer)
  end
end
