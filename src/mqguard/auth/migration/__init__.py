"""From the files of ACL 1.0 (`plain_acl.yml`) to users and policies, without widening any right."""
