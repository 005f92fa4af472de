[inputs: ["{mix,.formatter}.exs", "{lib,test}/**/*.{ex,exs}", "../erlang/mix.exs"]]
