defmodule Erluv.ProxyEPMD do
  # For -epmd_module: a node remote_PORT@anything is dialled at this port of the loopback.
  @dist_version 6

  def port_please(name, host), do: port_please(name, host, :infinity)

  def port_please(~c"remote_" ++ port, _host, _timeout),
    do: {:port, List.to_integer(port), @dist_version}

  def port_please(name, host, timeout), do: :erl_epmd.port_please(name, host, timeout)

  def address_please(~c"remote_" ++ _, _host, :inet), do: {:ok, {127, 0, 0, 1}}
  def address_please(name, host, family), do: :erl_epmd.address_please(name, host, family)

  defdelegate start_link(), to: :erl_epmd
  defdelegate register_node(name, port), to: :erl_epmd
  defdelegate register_node(name, port, family), to: :erl_epmd
  defdelegate listen_port_please(name, host), to: :erl_epmd
  defdelegate names(host), to: :erl_epmd
end
