
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The scripts that Redis runs for the store, each one change or question as
 * a whole.  What goes in and what comes out stands in the .c file.
 */


#ifndef _NGX_ACCESS_TOKEN_SCRIPT_H_INCLUDED_
#define _NGX_ACCESS_TOKEN_SCRIPT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis.h>


/* What a script says first in its answer. */

#define NGX_ACCESS_TOKEN_SCRIPT_ABSENT  0   /* no such token at that owner */
#define NGX_ACCESS_TOKEN_SCRIPT_DONE    1
#define NGX_ACCESS_TOKEN_SCRIPT_BUSY    2   /* its status forbids the change */
#define NGX_ACCESS_TOKEN_SCRIPT_EXISTS  3   /* create: the id is taken */


extern ngx_redis_script_t  ngx_access_token_script_get;
extern ngx_redis_script_t  ngx_access_token_script_create;
extern ngx_redis_script_t  ngx_access_token_script_patch;
extern ngx_redis_script_t  ngx_access_token_script_revoke;
extern ngx_redis_script_t  ngx_access_token_script_activate;
extern ngx_redis_script_t  ngx_access_token_script_rotate;
extern ngx_redis_script_t  ngx_access_token_script_delete;
extern ngx_redis_script_t  ngx_access_token_script_list;


/* Fills in the digests; at configuration. */

void ngx_access_token_script_init(void);


#endif /* _NGX_ACCESS_TOKEN_SCRIPT_H_INCLUDED_ */
