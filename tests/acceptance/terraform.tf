# An image's life as people declare it: a server, images of it, their copies, who may launch
# them, what is made of them, and what keeps and retires them.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

# Where openami is and whose keys these are comes from the environment (AWS_ENDPOINT_URL and so
# on), as for every AWS client.
provider "aws" {
  default_tags {
    tags = { Stack = "terraform" }
  }
}

variable "base_image_id" { type = string }

variable "friend" {
  type        = string
  description = "another account"
}

variable "deprecation_time" { type = string }

data "aws_ami" "base" {
  owners      = ["self"]
  most_recent = true
  filter {
    name   = "image-id"
    values = [var.base_image_id]
  }
}

data "aws_availability_zones" "all" {}

resource "aws_instance" "web" {
  ami           = data.aws_ami.base.id
  instance_type = "t3.micro"
  user_data     = "#!/bin/sh\necho hello"
  tags          = { Name = "web" }
}

resource "aws_ami_from_instance" "web" {
  name                    = "web-terraform"
  source_instance_id      = aws_instance.web.id
  snapshot_without_reboot = true
}

resource "aws_ami_copy" "kept" {
  name              = "web-terraform-kept"
  source_ami_id     = aws_ami_from_instance.web.id
  source_ami_region = "us-east-1"
}

resource "aws_ami_launch_permission" "friend" {
  image_id   = aws_ami_copy.kept.id
  account_id = var.friend
}

resource "aws_ebs_volume" "data" {
  availability_zone = data.aws_availability_zones.all.names[0]
  size              = 1
  type              = "gp3"
}

resource "aws_ebs_snapshot" "data" {
  volume_id   = aws_ebs_volume.data.id
  description = "of the data"
}

resource "aws_ebs_snapshot_copy" "data" {
  source_snapshot_id = aws_ebs_snapshot.data.id
  source_region      = "us-east-1"
}

resource "aws_snapshot_create_volume_permission" "friend" {
  snapshot_id = aws_ebs_snapshot_copy.data.id
  account_id  = var.friend
}

resource "aws_ami" "registered" {
  name                = "web-terraform-registered"
  virtualization_type = "hvm"
  root_device_name    = "/dev/sda1"
  ena_support         = true
  imds_support        = "v2.0"
  deprecation_time    = var.deprecation_time
  ebs_block_device {
    device_name = "/dev/sda1"
    snapshot_id = aws_ebs_snapshot.data.id
    volume_size = 2
    volume_type = "gp3"
  }
}

resource "aws_launch_template" "web" {
  name                   = "web-terraform"
  image_id               = data.aws_ami.base.id
  instance_type          = "t3.micro"
  update_default_version = true
  metadata_options {
    http_tokens = "required"
  }
  tag_specifications {
    resource_type = "volume"
    tags          = { Role = "web" }
  }
}

resource "aws_instance" "of_template" {
  launch_template {
    id      = aws_launch_template.web.id
    version = "$Latest"
  }
}

resource "aws_dlm_lifecycle_policy" "nightly" {
  description        = "images each night"
  execution_role_arn = "arn:aws:iam::123456789012:role/unused"
  policy_details {
    policy_type    = "IMAGE_MANAGEMENT"
    resource_types = ["INSTANCE"]
    target_tags    = { Backup = "daily" }
    schedule {
      name = "nightly"
      create_rule {
        interval      = 24
        interval_unit = "HOURS"
        times         = ["03:00"]
      }
      retain_rule {
        count = 7
      }
      copy_tags = true
    }
  }
}

resource "aws_rbin_rule" "images" {
  description   = "deleted images stay a day"
  resource_type = "EC2_IMAGE"
  resource_tags {
    resource_tag_key   = "Stack"
    resource_tag_value = "kept"
  }
  retention_period {
    retention_period_value = 1
    retention_period_unit  = "DAYS"
  }
}
