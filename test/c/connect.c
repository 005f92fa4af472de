/* A C node, by OTP's erl_interface, that connects to an erluv.
 *
 *	connect ALIVE HOST COOKIE ERLUV */
#include <ei.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	ei_cnode self;
	struct in_addr address = {htonl(INADDR_LOOPBACK)};
	char name[MAXNODELEN + 1];

	if (argc != 5)
		return 2;
	ei_init();
	snprintf(name, sizeof name, "%s@%s", argv[1], argv[2]);
	if (ei_connect_xinit(&self, argv[2], argv[1], name, &address, argv[3], 1) < 0)
		return 2;
	if (ei_connect(&self, argv[4]) < 0) {
		fprintf(stderr, "erl_errno %d\n", erl_errno);
		return 1;
	}
	return 0;
}
