# The tools do the work; this is for those who have make in their fingers.

DESTDIR =
MODULE  = ngx_http_access_token_module.so
CONSOLE = /usr/share/ngx_http_access_token_module/console

# Where nginx looks for modules.
MODULES = $(or $(shell PATH=$$PATH:/usr/sbin nginx -V 2>&1 \
	| sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p'),/usr/lib/nginx/modules)

.PHONY: help build check test run screenshots bench install clean
.DEFAULT_GOAL := help

help:     ## lists the targets
	@sed -n 's/^\([a-z]*\): *\([a-z]* *\)## \(.*\)/\1|\3/p' Makefile \
		| while IFS='|' read -r t d; do printf '  make %-11s %s\n' $$t "$$d"; done

build:    ## builds build/ngx_http_access_token_module.so for Debian's nginx
	@tools/build

check: build ## layers, console, docs and unit tests: seconds
	@tools/check-layers
	@tools/check-console
	@if [ -x tools/check-docs ]; then tools/check-docs; fi
	@tests=$$(tools/unit) && prove --exec '' $$tests

test:     ## installs what is missing, builds, runs every check and test
	@tools/test

run:      ## runs it: Redis, nginx on 127.0.0.1:8080, and a demonstration
	@tools/run

screenshots: ## makes the pictures of docs/console.md anew
	@SCREENSHOTS=1 tools/test t/console/screenshots.test.js

bench: build ## measures it beside bare nginx, Lua, auth_request and njs
	@tools/packages bench
	@bench/run

install: build ## installs the module and the console (DESTDIR=, CONSOLE=DIR)
	install -d $(DESTDIR)$(MODULES)
	install -m 644 build/$(MODULE) $(DESTDIR)$(MODULES)/$(MODULE)
	@find console -type f | while read -r f; do install -D -m 644 \
		$$f $(DESTDIR)$(CONSOLE)/$${f#console/} || exit; done
	@echo "the console is in $(DESTDIR)$(CONSOLE), see docs/console.md"

clean:    ## removes what was built; the data in var/ stays
	rm -rf build
