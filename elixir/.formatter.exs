[
  inputs: [
    "{mix,.formatter}.exs",
    "{lib,test}/**/*.{ex,exs}",
    "../erlang/mix.exs",
    "../erlang/erluv_exec/mix.exs",
    "../packaging/testdata/*.exs"
  ]
]
