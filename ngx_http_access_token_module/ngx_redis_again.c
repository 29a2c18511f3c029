
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What becomes of a command that no node of a cluster, or the wrong one, has
 * taken.
 *
 *     command > route > node ----------------------------> answered
 *                 |      ^ `--MOVED, ASK--> another node ----^
 *         no node |      |  `--TRYAGAIN, CLUSTERDOWN--.
 *                 v      |                            |
 *               waiting -'<---------------------------'
 *
 * MOVED corrects the map at once, for the commands that follow; that it is
 * asked for too, once, is for the other slots.
 *
 * What always holds: a command is sent again only as long as its time is not
 * up; after MOVED or ASK a few times at once, and then no sooner than others
 * that wait.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_redis_internal.h>


#define NGX_REDIS_TRIES         5           /* MOVED and ASK of one command */
#define NGX_REDIS_AGAIN         20          /* ms; TRYAGAIN, CLUSTERDOWN */


static ngx_int_t ngx_redis_cluster_follow(ngx_redis_cluster_t *cluster,
    ngx_redis_command_t *cmd, ngx_redis_node_t *node, ngx_uint_t ask);
static ngx_uint_t ngx_redis_cluster_late(const ngx_redis_command_t *cmd);
static ngx_uint_t ngx_redis_cluster_pauses(
    const ngx_redis_cluster_t *cluster);
static void ngx_redis_cluster_give_up(ngx_redis_cluster_t *cluster,
    ngx_redis_command_t *cmd);


ngx_int_t
ngx_redis_cluster_redirect(ngx_redis_cluster_t *cluster,
    ngx_redis_node_t *node, ngx_redis_command_t *cmd, const ngx_str_t *error)
{
    ngx_str_t          host;
    in_port_t          port;
    ngx_uint_t         slot, moved, known, down;
    ngx_redis_node_t  *to;

    known = (ngx_redis_map_target(error, &slot, &host, &port) == NGX_OK);
    moved = known && error->data[0] == 'M';

    down = ngx_redis_says(error, "CLUSTERDOWN ");

    if (!known && !down && !ngx_redis_says(error, "TRYAGAIN ")) {
        return NGX_DECLINED;
    }

    if (moved || down) {
        ngx_redis_cluster_doubt(cluster);
    }

    /* what was to go nowhere else, or is not wanted any more, has its answer */

    if (cmd->bound || cmd->handler == NULL) {
        ngx_redis_finish(cluster->redis, cmd, NULL);
        return NGX_OK;
    }

    if (ngx_redis_cluster_late(cmd)) {
        return NGX_DECLINED;
    }

    if (!known) {
        ngx_redis_cluster_keep(cluster, cmd);
        return NGX_OK;
    }

    if (host.len == 0) {
        host = node->host;
    }

    if (slot != cmd->slot) {
        return NGX_DECLINED;
    }

    /* two nodes that disagree for a moment: it waits for them a little */

    if (cmd->tries == NGX_REDIS_TRIES) {
        cmd->tries--;
        ngx_redis_cluster_keep(cluster, cmd);
        return NGX_OK;
    }

    to = ngx_redis_cluster_node(cluster, &host, port);
    if (to == NULL) {
        return NGX_DECLINED;
    }

    if (moved) {
        cluster->map[slot] = (u_char) to->number;
    }

    return ngx_redis_cluster_follow(cluster, cmd, to, !moved);
}


/* Its connection was lost.  What was not written has not been carried out. */

ngx_int_t
ngx_redis_cluster_spare(ngx_redis_cluster_t *cluster, ngx_redis_command_t *cmd)
{
    if (cmd->bound
        || cmd->handler == NULL
        || !ngx_redis_is_unsent(cmd)
        || ngx_redis_cluster_late(cmd))
    {
        return NGX_DECLINED;
    }

    ngx_redis_cluster_keep(cluster, cmd);

    return NGX_OK;
}


/* ASKING goes right before the command, and holds for that one only. */

static ngx_int_t
ngx_redis_cluster_follow(ngx_redis_cluster_t *cluster,
    ngx_redis_command_t *cmd, ngx_redis_node_t *node, ngx_uint_t ask)
{
    static const ngx_str_t  asking = ngx_string("ASKING");

    if (ngx_redis_node_pauses(node)) {
        ngx_redis_cluster_keep(cluster, cmd);
        return NGX_OK;
    }

    if (ask) {

        /* it must not wait for its turn */

        cmd->slow = 0;

        if (ngx_redis_ask(node, &asking, 1, NULL, NULL) == NULL) {
            return NGX_DECLINED;
        }
    }

    cmd->tries++;

    ngx_redis_again(cmd, node);

    return NGX_OK;
}


static ngx_uint_t
ngx_redis_cluster_late(const ngx_redis_command_t *cmd)
{
    return (ngx_msec_int_t) (cmd->deadline - ngx_current_msec) <= 0;
}


ngx_uint_t
ngx_redis_cluster_takes(const ngx_redis_cluster_t *cluster)
{
    return cluster->nwaiting < NGX_REDIS_MAX_QUEUE
           && !ngx_redis_cluster_pauses(cluster);
}


/* What is taken after the pause waits for what is answered then. */

static ngx_uint_t
ngx_redis_cluster_pauses(const ngx_redis_cluster_t *cluster)
{
    return cluster->pause
           && (ngx_msec_int_t) (cluster->until - ngx_current_msec) > 0;
}


void
ngx_redis_cluster_keep(ngx_redis_cluster_t *cluster, ngx_redis_command_t *cmd)
{
    ngx_queue_insert_tail(&cluster->waiting, &cmd->queue);
    cluster->nwaiting++;

    cmd->node = NULL;

    if (!cluster->again.timer_set) {
        ngx_add_timer(&cluster->again, NGX_REDIS_AGAIN);
    }
}


void
ngx_redis_cluster_again(ngx_event_t *ev)
{
    ngx_redis_cluster_try(ev->data);
}


void
ngx_redis_cluster_try(ngx_redis_cluster_t *cluster)
{
    ngx_queue_t           all, *q;
    ngx_redis_node_t     *node;
    ngx_redis_command_t  *cmd;

    if (ngx_queue_empty(&cluster->waiting)) {
        return;
    }

    ngx_queue_init(&all);
    ngx_queue_add(&all, &cluster->waiting);
    ngx_queue_init(&cluster->waiting);
    cluster->nwaiting = 0;

    while (!ngx_queue_empty(&all)) {
        q = ngx_queue_head(&all);
        ngx_queue_remove(q);

        cmd = ngx_queue_data(q, ngx_redis_command_t, queue);
        node = ngx_redis_cluster_route(cluster, cmd->slot);

        if (cmd->handler == NULL
            || ngx_redis_cluster_late(cmd)
            || (node == NULL && ngx_redis_cluster_pauses(cluster)))
        {
            ngx_redis_cluster_give_up(cluster, cmd);

        } else if (node && !ngx_redis_node_pauses(node)) {
            ngx_redis_again(cmd, node);

        } else {
            ngx_queue_insert_tail(&cluster->waiting, q);
            cluster->nwaiting++;
        }
    }

    if (!ngx_queue_empty(&cluster->waiting) && !cluster->again.timer_set) {
        ngx_add_timer(&cluster->again, NGX_REDIS_AGAIN);
    }
}


static void
ngx_redis_cluster_give_up(ngx_redis_cluster_t *cluster,
    ngx_redis_command_t *cmd)
{
    ngx_redis_conn_t  *conn;

    conn = &cluster->seed.conn;

    if (cmd->handler && ngx_redis_conn_tell(conn, NGX_REDIS_BEHIND)) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "no node of the redis cluster takes commands of slot "
                      "%ui: see CLUSTER INFO and CLUSTER SLOTS there",
                      cmd->slot);
    }

    ngx_redis_finish(cluster->redis, cmd, NULL);
}
