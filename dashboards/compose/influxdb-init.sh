#!/bin/sh
# Runs once, inside the InfluxDB 2 container, on the first start with an empty volume (the image's entry point calls it
# after the setup). Gives the bucket a database name for InfluxQL, and Grafana a user that may only read it. The password
# is a process argument for that one second, inside this container only: the command has no other way without a terminal.
set -eu

influx v1 dbrp create \
    --bucket-id "$DOCKER_INFLUXDB_INIT_BUCKET_ID" \
    --db footfall \
    --rp autogen \
    --default

influx v1 auth create \
    --username grafana \
    --password "$FOOTFALL_GRAFANA_READS" \
    --read-bucket "$DOCKER_INFLUXDB_INIT_BUCKET_ID" \
    --description 'Grafana reads'
