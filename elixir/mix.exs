defmodule ErluvEx.MixProject do
  use Mix.Project

  def project do
    [
      app: :erluv_ex,
      version: "0.1.0",
      description: "Programs of the operating system as streams, commands and daemons",
      elixir: "~> 1.14",
      elixirc_paths: if(Mix.env() == :test, do: ["lib", "test/support"], else: ["lib"]),
      deps: [{:erluv, path: "../erlang"}]
    ]
  end

  def application do
    [extra_applications: [:logger]]
  end
end
