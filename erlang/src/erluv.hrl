%% An argument is wrong: badarg, with words for the shell and the log (error_info).
-define(BADARG(Args, Cause),
        erlang:error(badarg, Args, [{error_info, #{module => erluv_error, cause => Cause}}])).
