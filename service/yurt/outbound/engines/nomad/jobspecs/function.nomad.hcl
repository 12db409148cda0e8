# A revision of a function: one parameterized job. Every container of the revision is one dispatch of it.
#
# Yurt has Nomad parse this file with one variable, `spec`, a JSON document that Yurt makes of the revision. Copy the
# folder, change the copy and name it with --nomad-jobspecs. What the document holds may be left unused, but the
# meta key container_id, the identity yurt and the variable YURT_START are how a container finds its server and proves
# who it is. Nothing that users wrote stands in env, args or config, which Nomad interpolates.

variable "spec" {
  type        = string
  description = "The revision, as JSON."
}

locals {
  s = jsondecode(var.spec)
}

job "function" {
  id          = local.s.id
  name        = local.s.id
  type        = "batch"
  region      = local.s.region
  namespace   = local.s.namespace
  datacenters = local.s.datacenters
  node_pool   = local.s.node_pool
  meta        = local.s.meta

  ui {
    description = local.s.description

    dynamic "link" {
      for_each = local.s.links
      content {
        label = link.value.label
        url   = link.value.url
      }
    }
  }

  parameterized {
    payload       = "forbidden"
    meta_required = ["container_id"]
  }

  group "container" {
    # Retries are Yurt's: it knows what ran and whose fault it was.
    restart {
      attempts = 0
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    # A client that is away for a while keeps its containers: their sessions with the server may well live on.
    disconnect {
      lost_after = local.s.lost_after
      replace    = false
      reconcile  = "keep_original"
    }

    # Of a function that answers HTTP: Consul knows where, and this server which container it is. It is out of Consul
    # before it is told to end.
    shutdown_delay = local.s.web == null ? "0s" : "1s"

    dynamic "network" {
      for_each = local.s.web == null ? [] : [local.s.web]
      content {
        port "web" {
          static = network.value.static_port
          to     = network.value.to_port
        }
      }
    }

    dynamic "service" {
      for_each = local.s.web == null ? [] : [local.s.web]
      content {
        name     = service.value.service
        provider = "consul"
        port     = "web"
        tags     = service.value.tags

        meta {
          container_id = "$${NOMAD_META_container_id}"
        }

        check {
          type     = "tcp"
          interval = "1s"
          timeout  = "1s"
        }
      }
    }

    ephemeral_disk {
      size = local.s.disk_mib
    }

    task "runner" {
      driver       = local.s.driver
      user         = local.s.user
      kill_signal  = "SIGTERM"
      kill_timeout = local.s.kill_timeout

      # A file only: Nomad renews it, and functions must not find it in their environment.
      identity {
        name        = "yurt"
        aud         = ["yurt"]
        file        = true
        ttl         = "1h"
        change_mode = "noop"
      }

      artifact {
        source      = local.s.runner.url
        mode        = "file"
        destination = "local/runner.pyz"

        options {
          checksum = local.s.runner.checksum
        }
      }

      config {
        command = local.s.command
        args    = ["$${NOMAD_TASK_DIR}/runner.pyz"]

        # Of the docker driver; an attribute that is null is not there.
        image           = local.s.docker.image
        network_mode    = local.s.docker.network_mode
        cap_drop        = local.s.docker.cap_drop
        security_opt    = local.s.docker.security_opt
        readonly_rootfs = local.s.docker.readonly_rootfs
        pids_limit      = local.s.docker.pids_limit
        ports           = local.s.docker.ports
      }

      env = local.s.env

      logs {
        max_files     = 2
        max_file_size = 5
      }

      resources {
        cpu    = local.s.cpu_mhz
        memory = local.s.memory_mib

        dynamic "device" {
          for_each = local.s.devices
          labels   = [device.value.name]
          content {
            count = device.value.count

            dynamic "constraint" {
              for_each = device.value.constraints
              content {
                attribute = constraint.value.attribute
                operator  = constraint.value.operator
                value     = constraint.value.value
              }
            }

            dynamic "affinity" {
              for_each = device.value.affinities
              content {
                attribute = affinity.value.attribute
                operator  = affinity.value.operator
                value     = affinity.value.value
                weight    = affinity.value.weight
              }
            }
          }
        }
      }
    }
  }
}
