# Yurt's server, as a job of the cluster that it runs functions on.
#
#   nomad var put nomad/jobs/yurt token=@nomad.token consul_token=@consul.token
#   nomad job run -var data_dir=/var/lib/yurt control-plane.nomad.hcl
#
# Functions that answer HTTP are found with YURT_CONSUL_ADDRESS in its environment, such as http://127.0.0.1:8500; Consul's
# token is left out where it has no ACLs.
#
# There is one server to a store. With its store in SQLite, which is a file of its node, it belongs to that node: name it
# with -var node=NAME. With its store in PostgreSQL (-var store=...) it may run on any node that can have its port.

variable "yurt" {
  type        = string
  default     = "/opt/yurt/bin/yurt"
  description = "The command, as the nodes have it."
}

variable "data_dir" {
  type        = string
  default     = "/var/lib/yurt"
  description = "A directory that belongs to `user`, or can be made by them."
}

variable "user" {
  type        = string
  default     = "yurt"
  description = "As whom the server runs. It needs nothing that only root may do."
}

variable "store" {
  type        = string
  default     = ""
  description = "The URL of a PostgreSQL, without a password (use ~/.pgpass of `user`); empty for SQLite in data_dir."
}

variable "node" {
  type        = string
  default     = ""
  description = "The name of the one node that may run it; empty for any."
}

variable "port" {
  type        = number
  default     = 7600
  description = "Of the REST API, on the node's address."
}

variable "gateway_port" {
  type        = number
  default     = 0
  description = "Of the gateway for functions that answer HTTP, which gateway.nomad.hcl puts proxies before; 0 for none."
}

variable "nomad_address" {
  type        = string
  default     = "http://127.0.0.1:4646"
  description = "Where the server reaches Nomad: the agent of its node."
}

variable "namespace" {
  type        = string
  default     = "default"
  description = "The namespace of this job and of those of functions."
}

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

variable "node_pool" {
  type    = string
  default = "default"
}

variable "environment" {
  type        = map(string)
  default     = {}
  description = "Further settings, such as { YURT_DEFAULT_IMAGE = \"registry.internal/python:3.12\" }."
}

job "yurt" {
  type        = "service"
  namespace   = var.namespace
  datacenters = var.datacenters
  node_pool   = var.node_pool
  priority    = 80 # before the functions, which need it

  ui {
    description = "Yurt's server: the REST API, the queue, and the pools of containers."
  }

  dynamic "constraint" {
    for_each = var.node == "" ? [] : [var.node]
    content {
      attribute = "${node.unique.name}"
      value     = constraint.value
    }
  }

  # The old server ends before the new one begins: a store has one. Containers of functions outlive both.
  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "3s"
    healthy_deadline  = "3m"
    progress_deadline = "5m"
    auto_revert       = true
  }

  group "control-plane" {
    count = 1

    # It comes back for as long as somebody wants it.
    restart {
      interval = "1m"
      attempts = 3
      delay    = "2s"
      mode     = "delay"
    }

    network {
      port "api" {
        static = var.port
      }

      dynamic "port" {
        for_each = var.gateway_port == 0 ? [] : [var.gateway_port]
        labels   = ["gateway"]
        content {
          static = port.value
        }
      }
    }

    service {
      name = "yurt"
      port = "api"
      tags = ["api"]

      check {
        type     = "http"
        path     = "/readyz"
        interval = "5s"
        timeout  = "3s"
      }
    }

    dynamic "service" {
      for_each = var.gateway_port == 0 ? [] : ["yurt-gateway"]
      content {
        name = service.value
        port = "gateway"

        check {
          type     = "tcp"
          interval = "5s"
          timeout  = "3s"
        }
      }
    }

    task "server" {
      driver       = "raw_exec"
      user         = var.user
      kill_signal  = "SIGTERM"
      kill_timeout = "60s" # what runs may end first

      config {
        command = var.yurt
        args    = ["serve"]
      }

      env = merge(
        var.environment,
        var.store == "" ? {} : { YURT_STORE = var.store },
        var.gateway_port == 0 ? {} : { YURT_GATEWAY_LISTEN = "${NOMAD_ADDR_gateway}" }, {
          YURT_ENGINE                                      = "nomad"
          YURT_LISTEN                                      = "${NOMAD_ADDR_api}"
          YURT_DATA_DIR                                    = var.data_dir
          YURT_RUN_DIR                                     = "${NOMAD_TASK_DIR}/run"
          YURT_NOMAD_ADDRESS                               = var.nomad_address
          YURT_NOMAD_NAMESPACE                             = var.namespace
          YURT_NOMAD_TOKEN_FILE                            = "${NOMAD_SECRETS_DIR}/nomad.token"
          YURT_CONSUL_TOKEN_FILE                           = "${NOMAD_SECRETS_DIR}/consul.token"
          YURT_LOG_FORMAT                                  = "json"
      })

      # Tokens in files that Nomad keeps in memory. The server takes new ones by itself.
      template {
        data        = "{{ with nomadVar \"nomad/jobs/yurt\" }}{{ .token }}{{ end }}"
        destination = "${NOMAD_SECRETS_DIR}/nomad.token"
        perms       = "0444" # in a directory that only `user` can enter
        change_mode = "noop"
      }

      template {
        data        = "{{ with nomadVar \"nomad/jobs/yurt\" }}{{ with .consul_token }}{{ . }}{{ end }}{{ end }}"
        destination = "${NOMAD_SECRETS_DIR}/consul.token"
        perms       = "0444"
        change_mode = "noop"
      }

      resources {
        cpu    = 1000
        memory = 1024
      }
    }
  }
}
