# The way in for functions that answer HTTP: nginx on every node that is to take requests, before Yurt's gateway, which it
# finds through Consul wherever control-plane.nomad.hcl runs. It ends TLS, and hands everything else on as it comes:
# streams, events and WebSockets.
#
#   nomad job run -var port=443 -var certificate=/etc/ssl/apps.pem -var key=/etc/ssl/apps.key gateway.nomad.hcl
#
# Run control-plane.nomad.hcl with gateway_port, and with YURT_WEB_URL (https://apps.example.com) and YURT_WEB_TRUSTED (the
# addresses of these nodes) in its environment.

variable "nginx" {
  type        = string
  default     = "/usr/sbin/nginx"
  description = "The program, as the nodes have it."
}

variable "user" {
  type        = string
  default     = "www-data"
  description = "As whom it runs. Ports below 1024 need the system's leave (net.ipv4.ip_unprivileged_port_start)."
}

variable "port" {
  type    = number
  default = 8080
}

variable "certificate" {
  type        = string
  default     = ""
  description = "A file on the nodes, with the whole chain, for every name below YURT_WEB_URL. Empty: plain HTTP."
}

variable "key" {
  type        = string
  default     = ""
  description = "The file with its key, which `user` can read."
}

variable "namespace" {
  type    = string
  default = "default"
}

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

variable "node_pool" {
  type    = string
  default = "default"
}

locals {
  tls = var.certificate != ""
}

job "yurt-gateway" {
  type        = "system"
  namespace   = var.namespace
  datacenters = var.datacenters
  node_pool   = var.node_pool
  priority    = 80

  ui {
    description = "The way in for Yurt's functions that answer HTTP: nginx on every node."
  }

  group "proxy" {
    restart {
      interval = "1m"
      attempts = 3
      delay    = "2s"
      mode     = "delay"
    }

    # Out of Consul first, then no new requests, then the end.
    shutdown_delay = "3s"

    network {
      port "http" {
        static = var.port
      }
    }

    service {
      name = "yurt-web"
      port = "http"

      check {
        type     = "tcp"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "nginx" {
      driver       = "raw_exec"
      user         = var.user
      kill_signal  = "SIGQUIT" # what is being answered may end
      kill_timeout = "30s"

      # Where Consul has ACLs, a token for the template: Nomad's servers have a task_identity, and Consul an auth method for
      # it, whose role may read the service yurt-gateway and nodes.
      consul {}

      config {
        command = var.nginx
        args    = ["-p", "${NOMAD_TASK_DIR}", "-c", "${NOMAD_TASK_DIR}/nginx.conf", "-e", "stderr"]
      }

      template {
        destination   = "${NOMAD_TASK_DIR}/nginx.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        data          = <<-EOF
          daemon off;
          pid nginx.pid;
          worker_processes auto;
          error_log stderr warn;
          events {
            worker_connections 8192;
          }
          http {
            access_log off;
            client_body_temp_path body;
            proxy_temp_path proxy;
            fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi;
            scgi_temp_path scgi;

            # Without a gateway every request is answered with 502, at once.
            upstream gateway {
              {{- range service "yurt-gateway" }}
              server {{ .Address }}:{{ .Port }} max_fails=0;
              {{- else }}
              server 127.0.0.1:9 max_fails=0;
              {{- end }}
              keepalive 256;
            }
            map $http_upgrade $connection_upgrade {
              default upgrade;
              ''      '';
            }
            server {
              listen {{ env "NOMAD_ADDR_http" }}${local.tls ? " ssl" : ""};
              ${local.tls ? "ssl_certificate ${var.certificate};" : ""}
              ${local.tls ? "ssl_certificate_key ${var.key};" : ""}
              client_max_body_size 0;
              location / {
                proxy_pass http://gateway;
                proxy_http_version 1.1;
                proxy_set_header Host $http_host;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                proxy_set_header X-Forwarded-Host $http_host;
                proxy_set_header X-Forwarded-Proto $scheme;
                proxy_buffering off;
                proxy_request_buffering off;
                proxy_read_timeout 1h;
                proxy_send_timeout 1h;
              }
            }
          }
        EOF
      }

      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
