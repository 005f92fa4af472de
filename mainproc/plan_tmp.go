package mainproc

import "erluv/config"

func cookieSource(cfg *config.Config) string { return cfg.CookieFile }
